"""Signs one request a provider as its documentation says, by hand and without reading the presets.

Writes signatures.json (requests that must pass) and signature_handshakes.json (challenge requests and their responses)
next to itself.
Run: python tests/vectors/make_signatures.py (needs `cryptography` for Ed25519, ECDSA and RSA only)
"""
import base64
import hashlib
import hmac
import json
from pathlib import Path
from urllib.parse import quote_plus

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

import make_providers

HERE = Path(__file__).resolve().parent
NOW = 1767225600                                   # 2026-01-01T00:00:00Z
SENT = NOW - 2                                     # when every request was signed
MS = SENT * 1000 + 250
RFC3339 = "2025-12-31T23:59:58Z"
URL = "https://hooks.example.com"
JSON = "application/json"
FORM = "application/x-www-form-urlencoded"

vectors = []
handshakes = []


def octets(text):
    return text if isinstance(text, bytes) else text.encode()


def mac(key, text, digest="sha256"):
    return hmac.new(octets(key), octets(text), getattr(hashlib, digest)).digest()


def b64(raw):
    return base64.b64encode(raw).decode()


def b64url(raw):
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def pem(key):
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, form).decode()


def fake(name):
    return f"example-secret-of-{name}"


def whsec(name):
    """A secret of 32 fixed bytes in the Standard Webhooks form, and those bytes."""
    key = hashlib.sha256(fake(name).encode()).digest()
    return "whsec_" + b64(key), key


def add(preset, headers, body, secret=None, secrets=None, method="POST", url=None, content=JSON, ident=None):
    entry = {"id": ident or f"{preset}-made", "preset": preset, "parameters": {}}
    if secrets is None:
        entry["secret"] = secret
    else:
        entry["secrets"] = secrets
    headers = dict(headers)
    if content:
        headers = {"Content-Type": content, **headers}
    request = {"method": method, "url": url or f"{URL}/{preset}", "headers": headers, "body": body}
    entry |= {"request": request, "now": NOW, "expected": "valid"}
    vectors.append(entry)


def ask(preset, secret, request, response, token=None):
    entry = {"id": f"{preset}-handshake-made", "preset": preset, "parameters": {}, "secret": secret}
    if token:
        entry["handshake_token"] = token
    handshakes.append(entry | {"request": request, "now": NOW, "reply": response})


def text_response(text):
    return {"content_type": "text/plain", "body": text, "headers": {}}


def json_response(value):
    return {"content_type": JSON, "json": value, "headers": {}}


def get(preset, query="", headers=None):
    return {"method": "GET", "url": f"{URL}/{preset}{query}", "headers": headers or {}, "body": ""}


# --- Standard Webhooks and its senders: id.time.body, base64 after "v1," -------------------------------------
def standard(preset, words="webhook", secret_and_key=None):
    secret, key = secret_and_key or whsec(preset)
    event = f"msg_example_{preset}"
    body = f'{{"type":"example.created","data":{{"of":"{preset}"}}}}'
    signature = "v1," + b64(mac(key, f"{event}.{SENT}.{body}"))
    add(preset, {f"{words}-id": event, f"{words}-timestamp": str(SENT), f"{words}-signature": signature}, body, secret)


for provider in ["standard-webhooks", "openai", "replicate", "polar", "lithic", "gitlab"]:
    standard(provider)
for provider in ["svix", "resend"]:
    standard(provider, "svix")

# While a secret is rotated, the header holds the signatures of both, and of other versions.
secret, key = whsec("standard-webhooks")
body = '{"type":"example.rotated"}'
signature = b64(mac(key, f"msg_rotated.{SENT}.{body}"))
listed = f"v1,{b64(mac('another key', body))} v1a,{b64(bytes(64))} v1,{signature}"
add("standard-webhooks", {"webhook-id": "msg_rotated", "webhook-timestamp": str(SENT), "webhook-signature": listed},
    body, secret, ident="standard-webhooks-rotated-made")

ed_key = ed25519.Ed25519PrivateKey.generate()
body = '{"type":"example.created"}'
signature = "v1a," + b64(ed_key.sign(f"msg_example_ed25519.{SENT}.{body}".encode()))
add("standard-webhooks-ed25519",
    {"webhook-id": "msg_example_ed25519", "webhook-timestamp": str(SENT), "webhook-signature": signature},
    body, pem(ed_key))


# --- the body alone ------------------------------------------------------------------------------------------------
def over_body(preset, header, written, body, digest="sha256", headers=None, content=JSON):
    """`written` turns the MAC's bytes into the header's value."""
    signature = written(mac(fake(preset), body, digest))
    add(preset, {**(headers or {}), header: signature}, body, fake(preset), content=content)


def as_hex(raw):
    return raw.hex()


def after(word, form):
    return lambda raw: word + form(raw)


over_body("github", "X-Hub-Signature-256", after("sha256=", as_hex), '{"zen":"♥ keep it simple","hook_id":1}',
          headers={"X-GitHub-Event": "ping", "X-GitHub-Delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958"})
over_body("jira", "X-Hub-Signature", after("sha256=", as_hex), '{"webhookEvent":"jira:issue_created","timestamp":1}')
over_body("bitbucket", "X-Hub-Signature", after("sha256=", as_hex), '{"push":{"changes":[]}}',
          headers={"X-Event-Key": "repo:push"})
over_body("gitea", "X-Gitea-Signature", as_hex, '{\n  "ref": "refs/heads/main"\n}',
          headers={"X-Gitea-Event": "push"})
over_body("shopify", "X-Shopify-Hmac-Sha256", b64, '{"id":820982911946154508,"email":"jon@example.com"}',
          headers={"X-Shopify-Topic": "orders/create"})
over_body("line", "X-Line-Signature", b64, '{"destination":"U0","events":[]}')
over_body("xero", "x-xero-signature", b64, '{"events":[],"firstEventSequence":0,"lastEventSequence":0,"entropy":"S"}')
over_body("woocommerce", "X-WC-Webhook-Signature", b64, '{"id":727,"status":"processing"}')
over_body("razorpay", "X-Razorpay-Signature", as_hex, '{"event":"payment.captured"}')
over_body("gocardless", "Webhook-Signature", as_hex, '{"events":[{"id":"EV123"}]}')
over_body("modern-treasury", "X-Signature", as_hex, '{"event":"created","data":{"id":"1"}}')
over_body("coinbase-commerce", "X-CC-Webhook-Signature", as_hex, '{"id":1,"event":{"type":"charge:created"}}')
over_body("clickup", "X-Signature", as_hex, '{"webhook_id":"7689a169","event":"taskCreated","task_id":"c0j"}')
over_body("logto", "logto-signature-sha-256", as_hex, '{"hookId":"h","event":"User.Created"}')
over_body("vercel", "x-vercel-signature", as_hex, '{"id":"uev_1","type":"deployment.created"}', "sha1")
over_body("x", "X-Twitter-Webhooks-Signature", after("sha256=", b64), '{"for_user_id":"2244994945"}')
over_body("meta", "X-Hub-Signature-256", after("sha256=", as_hex),
          '{"object":"page","entry":[{"text":"\\u00e4\\u00f6"}]}')
over_body("dropbox", "X-Dropbox-Signature", as_hex, '{"list_folder":{"accounts":["dbid:AAH"]}}')
over_body("intercom", "X-Hub-Signature", after("sha1=", as_hex), '{"type":"notification_event","topic":"ping"}', "sha1")
over_body("typeform", "Typeform-Signature", after("sha256=", b64),
          '{"event_id":"LtWXD3crgy","event_type":"form_response"}')
over_body("asana", "X-Hook-Signature", as_hex, '{"events":[{"action":"changed"}]}')
over_body("pusher", "X-Pusher-Signature", as_hex, '{"time_ms":1767225598250,"events":[{"name":"channel_occupied"}]}',
          headers={"X-Pusher-Key": "example-key"})
over_body("linear", "Linear-Signature", as_hex, json.dumps({"action": "create", "webhookTimestamp": MS}))

# Keys that are given in hexadecimal and decoded.
hex_secret = fake("onfleet").encode().hex()
body = '{"taskId":"abc","triggerId":0}'
add("onfleet", {"X-Onfleet-Signature": mac(bytes.fromhex(hex_secret), body, "sha512").hex()}, body, hex_secret)

hex_secret = fake("adyen-platform").encode().hex().upper()
body = '{"type":"balancePlatform.accountHolder.created","environment":"test"}'
add("adyen-platform", {"HmacSignature": b64(mac(bytes.fromhex(hex_secret), body)), "Protocol": "HmacSHA256"},
    body, hex_secret)

# DocuSign: a header for each active key; the operator's may be any of them.
body = '{"event":"envelope-completed"}'
other = b64(mac("the key of somebody else", body))
add("docusign", {"X-DocuSign-Signature-1": other, "X-DocuSign-Signature-2": b64(mac(fake("docusign"), body)),
                 "X-Authorization-Digest": "HMACSHA256"}, body, fake("docusign"))

# Worldpay: keyId/SHA256/signature, several with commas; the id chooses the key.
body = '{"eventId":"e1","eventDetails":{"type":"authorized"}}'
one, two = fake("worldpay-1"), fake("worldpay-2")
value = f"1/SHA256/{mac(one, body).hex()},2/SHA256/{mac(two, body).hex()}"
add("worldpay", {"Event-Signature": value}, body, secrets=[{"id": "2", "secret": two}])

# --- a time in another header --------------------------------------------------------------------------------------
body = "token=xyzz0&team_id=T1DC2JH3J&command=%2Fweather&text=94070"
signature = "v0=" + mac(fake("slack"), f"v0:{SENT}:{body}").hex()
add("slack", {"X-Slack-Request-Timestamp": str(SENT), "X-Slack-Signature": signature}, body, fake("slack"),
    content=FORM)

body = '{"event":"meeting.started","event_ts":1767225598250,"payload":{"account_id":"a"}}'
signature = "v0=" + mac(fake("zoom"), f"v0:{SENT}:{body}").hex()
add("zoom", {"x-zm-request-timestamp": str(SENT), "x-zm-signature": signature}, body, fake("zoom"))

body = '{"event_id":"01E4","metric":"email_delivered"}'
add("customerio", {"X-CIO-Timestamp": str(SENT), "X-CIO-Signature": mac(fake("customerio"), f"v0:{SENT}:{body}").hex()},
    body, fake("customerio"))

body = '{"triggerType":"form_submission","payload":{"name":"Contact"}}'
add("webflow", {"x-webflow-timestamp": str(MS), "x-webflow-signature": mac(fake("webflow"), f"{MS}:{body}").hex()},
    body, fake("webflow"))

body = '{"type":"zen:event-type:ticket.created"}'
secret = b64(fake("zendesk").encode())             # looks like base64, is used as is
add("zendesk", {"X-Zendesk-Webhook-Signature-Timestamp": RFC3339,
                "X-Zendesk-Webhook-Signature": b64(mac(secret, RFC3339 + body))}, body, secret)

body = '{"type":"webhook_event","trigger":"FILE.UPLOADED","source":{"id":"1","type":"file"}}'
moment = "2025-12-31T15:59:58-08:00"
primary, secondary = fake("box-primary"), fake("box-secondary")
add("box", {"BOX-DELIVERY-ID": "f96bb54b-ee16-4fc5-aa65-8c2d9e5b546f", "BOX-DELIVERY-TIMESTAMP": moment,
            "BOX-SIGNATURE-ALGORITHM": "HmacSHA256", "BOX-SIGNATURE-VERSION": "1",
            "BOX-SIGNATURE-PRIMARY": b64(mac(primary, body + moment)),
            "BOX-SIGNATURE-SECONDARY": b64(mac(secondary, body + moment))}, body, secrets=[primary, secondary])
add("box", {"BOX-DELIVERY-TIMESTAMP": moment, "BOX-SIGNATURE-ALGORITHM": "HmacSHA256", "BOX-SIGNATURE-VERSION": "1",
            "BOX-SIGNATURE-PRIMARY": b64(mac("an older key", body + moment)),
            "BOX-SIGNATURE-SECONDARY": b64(mac(secondary, body + moment))}, body, secondary, ident="box-secondary-made")

# MessageBird: three lines; the last is the raw SHA-256 of the body, not hexadecimal.
body = '{"a key":"some value"}'
signed = f"{SENT}\nabc=foo&def=bar\n".encode() + hashlib.sha256(body.encode()).digest()
add("messagebird-hmac", {"MessageBird-Request-Timestamp": str(SENT),
                         "MessageBird-Signature": b64(mac(fake("messagebird-hmac"), signed))},
    body, fake("messagebird-hmac"), url=f"{URL}/messagebird-hmac?def=bar&abc=foo")


# --- the time within the signature's header ------------------------------------------------------------------------
def pairs(preset, header, body, time=SENT, key="v1", time_key="t", join=".", between=",", form=as_hex, secret=None):
    secret = secret or fake(preset)
    signature = form(mac(secret, f"{time}{join}{body}"))
    add(preset, {header: f"{time_key}={time}{between}{key}={signature}"}, body, secret)


event = '{"id":"evt_example","object":"event","type":"customer.created"}'
old = mac("whsec_example-old-secret-of-stripe", f"{SENT}.{event}").hex()
new = mac("whsec_example-secret-of-stripe", f"{SENT}.{event}").hex()
test = mac("whsec_example-test-secret-of-stripe", f"{SENT}.{event}").hex()
add("stripe", {"Stripe-Signature": f"t={SENT},v1={old},v1={new},v0={test}"}, event, "whsec_example-secret-of-stripe")
pairs("paddle", "Paddle-Signature", '{"event_type":"transaction.paid"}', key="h1", time_key="ts", join=":", between=";")
pairs("sanity", "sanity-webhook-signature", '{"_id":"resume"}', time=MS, form=b64url)
pairs("qonto", "X-Qonto-Signature", '{"type":"v1/memberships"}')
pairs("elevenlabs", "ElevenLabs-Signature", '{"type":"post_call_transcription"}', key="v0")
pairs("zoho-payments", "X-Zoho-Webhook-Signature", '{ "status": "success" }', time=MS, key="v")
pairs("workos", "WorkOS-Signature", '{"id":"event_01","event":"user.created"}', time=MS, between=", ")
pairs("buildkite", "X-Buildkite-Signature", '{"event":"ping"}', key="signature", time_key="timestamp")
pairs("ticket-tailor", "Tickettailor-Webhook-Signature", '{"id":"wh_1","event":"ORDER.CREATED"}', join="")
pairs("calendly", "Calendly-Webhook-Signature", '{"event":"invitee.created"}')

over_body("zoho-sign", "X-ZS-WEBHOOK-SIGNATURE", b64, '{"notifications":{"operation_type":"RequestSigningSuccess"}}')

# The parameters by name, without separators: the provider's own example, with a value in percent-encoding.
body = '{"created_date":"2019-03-06","event_id":"5675"}'
signature = mac(fake("zoho-billing"), f"namebasic plansubscription_id90343{body}").hex()
add("zoho-billing", {"X-Zoho-Webhook-Signature": signature}, body, fake("zoho-billing"),
    url=f"{URL}/zoho-billing?subscription_id=90343&name=basic%20plan")

body = '{"event_id":"6d6c"}'
names, values = "content-type x-event-id", f"{JSON}.0c1d"
secret = "8f0ad2d2-0000-4000-8000-00000000example"
signed = ".".join([str(SENT), names, values, body])
add("hook0", {"X-Event-Id": "0c1d", "X-Hook0-Signature": f"t={SENT},h={names},v1={mac(secret, signed).hex()}"},
    body, secret)

# --- the URL, the method, a form -----------------------------------------------------------------------------------
address = f"{URL}/twilio?foo=1&bar=2"
fields = {"To": "+18005551212", "From": "+14158675309", "CallSid": "CA1234567890ABCDE", "Body": "ä b&c"}
body = "&".join(f"{quote_plus(name)}={quote_plus(text)}" for name, text in fields.items())
signed = address + "".join(name + fields[name] for name in sorted(fields))
add("twilio", {"X-Twilio-Signature": b64(mac(fake("twilio"), signed, "sha1"))}, body, fake("twilio"), url=address,
    content=FORM)
body = '{"property": "value", "boolean": true}'
address = f"{URL}/twilio?foo=1&bodySHA256={hashlib.sha256(body.encode()).hexdigest()}"
add("twilio", {"X-Twilio-Signature": b64(mac(fake("twilio"), address, "sha1"))}, body, fake("twilio"), url=address,
    ident="twilio-json-made")

address = f"{URL}/square"
body = '{"merchant_id":"M","type":"payment.created"}'
add("square", {"x-square-hmacsha256-signature": b64(mac(fake("square"), address + body))}, body, fake("square"),
    url=address)

address = f"{URL}/trello?board=1"
body = '{"action":{"id":"5e","type":"updateCard"}}'
add("trello", {"X-Trello-Webhook": b64(mac(fake("trello"), body + address, "sha1"))}, body, fake("trello"), url=address)

body = '[{"eventId":1,"subscriptionType":"contact.creation"}]'
digest = hashlib.sha256((fake("hubspot-v1") + body).encode()).hexdigest()
add("hubspot-v1", {"X-HubSpot-Signature-Version": "v1", "X-HubSpot-Signature": digest}, body, fake("hubspot-v1"))

address = f"{URL}/hubspot-v2?portalId=62515"
body = '{"example_field":"example_value"}'
digest = hashlib.sha256((fake("hubspot-v2") + "POST" + address + body).encode()).hexdigest()
add("hubspot-v2", {"X-HubSpot-Signature-Version": "v2", "X-HubSpot-Signature": digest}, body, fake("hubspot-v2"),
    url=address)

sent_address = f"{URL}/hubspot-v3?next=%2Fdone%3Fa%3A1&kept=a%26b%20c"
signed_address = f"{URL}/hubspot-v3?next=/done?a:1&kept=a%26b%20c"     # & and space are not in HubSpot's table
body = '[{"eventId":1,"note":"%2F stays as it is"}]'
signature = b64(mac(fake("hubspot-v3"), f"POST{signed_address}{body}{MS}"))
add("hubspot-v3", {"X-HubSpot-Request-Timestamp": str(MS), "X-HubSpot-Signature-v3": signature}, body,
    fake("hubspot-v3"), url=sent_address)

# --- the signature within the body ---------------------------------------------------------------------------------
hex_secret = fake("adyen").encode().hex().upper()
item = {"amount": {"currency": "EUR", "value": 1130}, "pspReference": "7914073381342284",
        "eventCode": "AUTHORISATION", "eventDate": "2026-01-01T00:00:00+01:00", "merchantAccountCode": "TestMerchant",
        "merchantReference": "TestPayment-1407325143704", "paymentMethod": "visa", "success": "true"}
signed = "7914073381342284::TestMerchant:TestPayment-1407325143704:1130:EUR:AUTHORISATION:true"
item["additionalData"] = {"hmacSignature": b64(mac(bytes.fromhex(hex_secret), signed))}
add("adyen", {}, json.dumps({"live": "false", "notificationItems": [{"NotificationRequestItem": item}]}), hex_secret)

token = "e0b5477167110d68991efc6b9f89f0a11066af27834600e123"
signed = {"token": token, "timestamp": str(SENT), "signature": mac(fake("mailgun"), f"{SENT}{token}").hex()}
add("mailgun", {}, json.dumps({"signature": signed, "event-data": {"event": "delivered"}}), fake("mailgun"))

payload = b64url(b'{"algorithm":"HMAC-SHA256","issued_at":1767225598,"user_id":"218471"}')
value = b64url(mac(fake("meta-signed-request"), payload)) + "." + payload
add("meta-signed-request", {}, f"signed_request={value}", fake("meta-signed-request"), content=FORM)

# --- a static token ------------------------------------------------------------------------------------------------
add("gitlab-token", {"X-Gitlab-Token": fake("gitlab-token"), "X-Gitlab-Event": "Push Hook"}, '{"object_kind":"push"}',
    fake("gitlab-token"))
add("telegram", {"X-Telegram-Bot-Api-Secret-Token": fake("telegram")}, '{"update_id":10000}', fake("telegram"))
add("okta", {"Authorization": fake("okta")}, '{"eventType":"com.okta.event_hook","data":{"events":[]}}', fake("okta"))

# --- public keys, new at each run ----------------------------------------------------------------------------------
ec_key = ec.generate_private_key(ec.SECP256R1())
body = '[{"email":"hello@example.com","event":"delivered"}]\r\n'
signature = b64(ec_key.sign(f"{SENT}{body}".encode(), ec.ECDSA(hashes.SHA256())))
add("sendgrid", {"X-Twilio-Email-Event-Webhook-Timestamp": str(SENT),
                 "X-Twilio-Email-Event-Webhook-Signature": signature}, body, pem(ec_key))

discord_key = ed25519.Ed25519PrivateKey.generate()


def discord_headers(body):
    signature = discord_key.sign(f"{SENT}{body}".encode()).hex()
    return {"X-Signature-Timestamp": str(SENT), "X-Signature-Ed25519": signature}


body = '{"type":2,"id":"1","data":{"name":"ping"}}'
add("discord", discord_headers(body), body, pem(discord_key))

telnyx_key = ed25519.Ed25519PrivateKey.generate()
body = '{"data":{"event_type":"message.received"}}'
add("telnyx", {"telnyx-timestamp": str(SENT),
               "telnyx-signature-ed25519": b64(telnyx_key.sign(f"{SENT}|{body}".encode()))}, body, pem(telnyx_key))

rsa_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
body = '{"event_id":"wh_example","event_category":"transfer"}'
signature = b64(rsa_key.sign(f"{MS}.{body}".encode(), padding.PKCS1v15(), hashes.SHA256()))
add("bridge", {"X-Webhook-Signature": f"t={MS},v0={signature}"}, body, pem(rsa_key))

# --- challenges -----------------------------------------------------------------------------------------------------
body = '{"token":"t","challenge":"3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P","type":"url_verification"}'
headers = {"Content-Type": JSON, "X-Slack-Request-Timestamp": str(SENT),
           "X-Slack-Signature": "v0=" + mac(fake("slack"), f"v0:{SENT}:{body}").hex()}
ask("slack", fake("slack"), {"method": "POST", "url": f"{URL}/slack", "headers": headers, "body": body},
    text_response("3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P"))

plain = "qgg8vlvZRS6UYooatFL8Aw"
body = json.dumps({"payload": {"plainToken": plain}, "event_ts": MS, "event": "endpoint.url_validation"})
headers = {"Content-Type": JSON, "x-zm-request-timestamp": str(SENT),
           "x-zm-signature": "v0=" + mac(fake("zoom"), f"v0:{SENT}:{body}").hex()}
ask("zoom", fake("zoom"), {"method": "POST", "url": f"{URL}/zoom", "headers": headers, "body": body},
    json_response({"plainToken": plain, "encryptedToken": mac(fake("zoom"), plain).hex()}))

body = '{"type":1,"id":"0","token":"t"}'
ask("discord", pem(discord_key), {"method": "POST", "url": f"{URL}/discord",
                                  "headers": {"Content-Type": JSON, **discord_headers(body)}, "body": body},
    json_response({"type": 1}))

crc = "MDk0ZmUyZTktZDQ5Zi00"
ask("x", fake("x"), get("x", f"?crc_token={crc}"), json_response({"response_token": "sha256=" + b64(mac(fake("x"), crc))}))
ask("onfleet", fake("onfleet").encode().hex(), get("onfleet", "?check=3b1f"), text_response("3b1f"))
ask("dropbox", fake("dropbox"), get("dropbox", "?challenge=abc123"), text_response("abc123"))
ask("meta", fake("meta"), get("meta", "?hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=example-verify"),
    text_response("1158201444"), token="example-verify")
challenge = "Me_rShK8JHsTnbyYrWXCEoMGbM_zsZ6k0hLPZ_Pg"
ask("okta", fake("okta"), get("okta", headers={"Authorization": fake("okta"),
                                              "X-Okta-Verification-Challenge": challenge}),
    json_response({"verification": challenge}))
challenge = "b537207f20cbfa02357cf448134da559e8bd39d61597dcd5631b8012eae53e81"
ask("asana", fake("asana"),
    {"method": "POST", "url": f"{URL}/asana", "headers": {"X-Hook-Secret": challenge}, "body": ""},
    {"content_type": None, "body": "", "headers": {"X-Hook-Secret": challenge}})

vectors += make_providers.vectors
handshakes += make_providers.handshakes
for name, entries in [("signatures.json", vectors), ("signature_handshakes.json", handshakes)]:
    (HERE / name).write_text(json.dumps(entries, indent=2, ensure_ascii=False) + "\n")
    print(name, len(entries))
