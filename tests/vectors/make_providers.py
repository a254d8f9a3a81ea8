"""Signs one request of each further provider as its documentation says, by hand and without reading the presets.

make_signatures.py adds these to its own. Beside each request that must pass is the same with another body, time or token,
which must not: `reject` changes one thing.
"""
import base64
import copy
import datetime
import hashlib
import hmac
import json
import zlib
from urllib.parse import quote_plus

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

NOW = 1767225600                                   # 2026-01-01T00:00:00Z
SENT = NOW - 2
MS = SENT * 1000 + 250
RFC3339 = "2025-12-31T23:59:58.25Z"
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


def as_hex(raw):
    return raw.hex()


def after(word, form):
    return lambda raw: word + form(raw)


def fake(name):
    return f"example-secret-of-{name}"


def entry(preset, headers, body, secret, url=None, content=JSON, method="POST", parameters=None, key_id=None, now=NOW):
    request = {"method": method, "url": url or f"{URL}/{preset}", "headers": {"Content-Type": content, **headers}}
    found = {"id": f"{preset}-made", "preset": preset, "parameters": parameters or {}}
    if key_id:
        found["secrets"] = [{"id": key_id, "secret": secret}]
    else:
        found["secret"] = secret
    return found | {"request": request | {"body": body}, "now": now, "expected": "valid"}


def reject(valid, what, change):
    """The same request with one change, which must be rejected."""
    other = copy.deepcopy(valid)
    other |= {"id": valid["id"].replace("-made", f"-{what}-made"), "expected": "invalid"}
    change(other["request"])
    vectors.append(other)


def other_body(request):
    request["body"] = request["body"][:-1] + " " + request["body"][-1]


def add(*arguments, **named):
    valid = entry(*arguments, **named)
    vectors.append(valid)
    reject(valid, "body", other_body)
    return valid


def over_body(preset, header, written, body, digest="sha256", secret=None, **named):
    """`written` turns the MAC's bytes into the header's value."""
    secret = secret or fake(preset)
    return add(preset, {header: written(mac(secret, body, digest))}, body, secret, **named)


def token(preset, header, value=None):
    value = value or fake(preset)
    valid = entry(preset, {header: value}, '{"event":"example"}', value)
    vectors.append(valid)
    reject(valid, "token", lambda request: request["headers"].update({header: value[:-1] + "X"}))


def timed(preset, headers, body, secret, late, **named):
    """`headers` signs a time. The same request is too old at `late` seconds after it."""
    valid = add(preset, headers(SENT), body, secret, **named)
    old = copy.deepcopy(valid) | {"id": f"{preset}-old-made", "expected": "invalid"}
    old["request"]["headers"] = {"Content-Type": named.get("content", JSON), **headers(SENT - late)}
    vectors.append(old)
    return valid


def rfc3339(seconds):
    assert seconds == SENT or seconds == SENT - 3600
    return RFC3339 if seconds == SENT else RFC3339.replace("T23:", "T22:")


def pem(key):
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, form).decode()


def rsa_key():
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def rsa_sign(key, text):
    return b64(key.sign(octets(text), padding.PKCS1v15(), hashes.SHA256()))


def ask(preset, secret, request, response, key_id=None):
    found = {"id": f"{preset}-handshake-made", "preset": preset, "parameters": {}}
    found |= {"secrets": [{"id": key_id, "secret": secret}]} if key_id else {"secret": secret}
    handshakes.append(found | {"request": request, "now": NOW, "reply": response})


def text_response(text):
    return {"content_type": "text/plain", "body": text, "headers": {}}


# --- the body alone -------------------------------------------------------------------------------------------------
over_body("notion", "X-Notion-Signature", after("sha256=", as_hex), '{"id":"367cba44","type":"page.created"}')
over_body("circleci", "circleci-signature", after("v1=", as_hex), '{"id":"3888f21b","type":"workflow-completed"}')
over_body("easypost", "X-Hmac-Signature", after("hmac-sha256-hex=", as_hex), '{"id":"evt_1","object":"Event"}')
over_body("castle", "X-Castle-Signature", b64, '{"api_version":"v1","type":"$incident.confirmed"}')
over_body("mollie", "X-Mollie-Signature", after("sha256=", as_hex), '{"resource":"event","id":"event_1"}')
over_body("mailersend", "Signature", as_hex, '{"type":"activity.sent","webhook_id":"w1"}')
over_body("help-scout", "X-HelpScout-Signature", b64, '{"id":123,"subject":"Help"}', "sha1")
over_body("checkr", "X-Checkr-Signature", as_hex, '{"id":"507f1f77","object":"event","type":"report.completed"}')
over_body("segment", "X-Signature", as_hex, '{"type":"track","event":"Order Completed"}', "sha1")
over_body("semaphore", "X-Semaphore-Signature-256", as_hex, '{"version":"1.0.0","pipeline":{"state":"done"}}')
over_body("alchemy", "X-Alchemy-Signature", as_hex, '{"webhookId":"wh_1","id":"whevt_1","type":"GRAPHQL"}')
over_body("dub", "Dub-Signature", as_hex, '{"id":"evt_1","event":"link.created"}')
over_body("greenhouse", "Signature", after("sha256 ", as_hex), '{"action":"ping","payload":{"text":"\\u003cp\\u003e"}}')
over_body("discourse", "X-Discourse-Event-Signature", after("sha256=", as_hex), '{"ping":"OK"}')
over_body("grafana", "X-Grafana-Alerting-Signature", as_hex, '{"receiver":"r","status":"firing"}')
over_body("cal-com", "X-Cal-Signature-256", as_hex, '{"triggerEvent":"BOOKING_CREATED","payload":{"uid":"u"}}')
over_body("fourthwall", "X-Fourthwall-Hmac-SHA256", b64, '{"testMode":false,"type":"ORDER_PLACED"}')
over_body("tatum", "x-payload-hash", b64, '{"address":"TVf3","amount":"1"}', "sha512")
over_body("sentry", "Sentry-Hook-Signature", as_hex, '{"action":"created","data":{"issue":{"id":"1"}}}')
over_body("heroku", "Heroku-Webhook-Hmac-SHA256", b64, '{"id":"99e0a2bf","resource":"build"}')
over_body("terraform", "X-TFE-Notification-Signature", as_hex, '{"payload_version":1,"run_id":"run-1"}', "sha512")
over_body("checkout", "Cko-Signature", as_hex, '{"id":"evt_1","type":"payment_approved"}')
over_body("launchdarkly", "X-LD-Signature", as_hex, '{"kind":"flag","name":"a flag"}')
over_body("attio", "Attio-Signature", as_hex, '{"webhook_id":"w","events":[{"event_type":"record.created"}]}')
over_body("paystack", "x-paystack-signature", as_hex, '{"event":"charge.success","data":{"id":302961}}', "sha512")
over_body("worldline", "X-GCS-Signature", b64, '{"apiVersion":"v1","id":"8ee7","type":"payment.paid"}')
vectors[-2]["secrets"] = vectors[-1]["secrets"] = [{"id": "a-key-id", "secret": fake("worldline")}]
for vector in vectors[-2:]:
    del vector["secret"]
    vector["request"]["headers"]["X-GCS-KeyId"] = "a-key-id"

body = '{"items":[{"webhookId":"w","source":"channel.message"}]}'
add("ably", {"X-Ably-Signature": b64(mac(fake("ably"), body)), "X-Ably-Key": "xVLyHw.abc"}, body, fake("ably"),
    key_id="xVLyHw.abc")

# A header for each active secret of the subscription, in one value.
body = '{"event":{"id":"01BA2M","event_type":"incident.triggered"}}'
listed = f"v1={mac('another secret', body).hex()},v1={mac(fake('pagerduty'), body).hex()}"
add("pagerduty", {"X-PagerDuty-Signature": listed}, body, fake("pagerduty"))

# Keys that are given in base64 and decoded.
encoded = b64(fake("airtable").encode())
body = '{"base":{"id":"app0"},"webhook":{"id":"ach0"},"timestamp":"2025-12-31T23:59:58.000Z"}'
add("airtable", {"X-Airtable-Content-MAC": "hmac-sha256=" + mac(fake("airtable"), body).hex()}, body, encoded)
encoded = b64(fake("microsoft-teams").encode())
body = '{"type":"message","text":"<at>hook</at> hello"}'
add("microsoft-teams", {"Authorization": "HMAC " + b64(mac(fake("microsoft-teams"), body))}, body, encoded)

# --- a time in another header ---------------------------------------------------------------------------------------
secret, body = fake("quicknode"), '{"data":[{"number":"0x1"}]}'
timed("quicknode", lambda time: {"X-QN-Nonce": "nonce-1", "X-QN-Timestamp": str(time),
                                 "X-QN-Signature": mac(secret, f"nonce-1{time}{body}").hex()}, body, secret, 400)
cashfree, cash_body = fake("cashfree"), '{"type":"PAYMENT_SUCCESS_WEBHOOK","data":{}}'
timed("cashfree", lambda time: {"x-webhook-timestamp": f"{time}250",
                                "x-webhook-signature": b64(mac(cashfree, f"{time}250{cash_body}"))}, cash_body, cashfree, 400)
crisp, crisp_body = fake("crisp"), '{"website_id":"w","event":"message:send"}'
timed("crisp", lambda time: {"X-Crisp-Request-Timestamp": f"{time}250",
                             "X-Crisp-Signature": mac(crisp, f"[{time}250;{crisp_body}]").hex()}, crisp_body, crisp, 400)
airship, ship_body = fake("airship"), '{"audience":{"open_channel":"c"}}'
timed("airship", lambda time: {"X-UA-TIMESTAMP": str(time),
                               "X-UA-SIGNATURE": mac(airship, f"{time}:{ship_body}").hex()}, ship_body, airship, 400)
front, front_body = fake("front"), '{"type":"inbound","payload":{"id":"evt_1"}}'


def front_headers(time):
    return {"X-Front-Request-Timestamp": f"{time}250", "X-Front-Signature": b64(mac(front, f"{time}250:{front_body}"))}


timed("front", front_headers, front_body, front, 400)
frame, frame_body = fake("frame-io"), '{"type":"file.ready","resource":{"id":"f1"}}'
timed("frame-io", lambda time: {"X-Frameio-Request-Timestamp": str(time), "X-Frameio-Signature":
                                "v0=" + mac(frame, f"v0:{time}:{frame_body}").hex()}, frame_body, frame, 400)
grafana, grafana_body = fake("grafana-timestamp"), '{"receiver":"r","status":"resolved"}'
timed("grafana-timestamp", lambda time: {"X-Grafana-Alerting-Timestamp": str(time), "X-Grafana-Alerting-Signature":
                                         mac(grafana, f"{time}:{grafana_body}").hex()},
      grafana_body, grafana, 400)

# Bytes of the body after a dot could be moved to the nonce: this body has none.
sinch, sinch_body = fake("sinch"), '{"app_id":"a","message":{"id":"m"}}'


def sinch_headers(time):
    name = "x-sinch-webhook-signature"
    return {f"{name}-nonce": "01FJA8B4A7", f"{name}-timestamp": str(time), f"{name}-algorithm": "HmacSHA256",
            name: b64(mac(sinch, f"{sinch_body}.01FJA8B4A7.{time}"))}


timed("sinch", sinch_headers, sinch_body, sinch, 400)

# Body, time and secret in a plain hash.
cloud, cloud_body = fake("cloudinary"), '{"public_id":"b8sjhoslj8cq8ovoa0ma","version":1}'
timed("cloudinary", lambda time: {"X-Cld-Timestamp": str(time), "X-Cld-Signature":
                                  hashlib.sha256(f"{cloud_body}{time}{cloud}".encode()).hexdigest()}, cloud_body, cloud, 7300)

# A time without a time zone; a signature of another secret before the right one.
orb, orb_body = fake("orb"), '{"id":"o4mmewpfNNTnjfZc","type":"resource_event.test"}'


def orb_headers(time):
    signed = f"v1:{rfc3339(time)[:-1]}:{orb_body}"
    listed = f"v1={mac('old', signed).hex()} v1={mac(orb, signed).hex()}"
    return {"X-Orb-Timestamp": rfc3339(time)[:-1], "X-Orb-Signature": listed}


timed("orb", orb_headers, orb_body, orb, 3600)

# Standard Webhooks, with a key that is not base64.
commerce, commerce_body = fake("bigcommerce"), '{"scope":"store/order/created","data":{"id":250}}'
timed("bigcommerce", lambda time: {"webhook-id": "msg_1", "webhook-timestamp": str(time), "webhook-signature":
                                   "v1," + b64(mac(commerce, f"msg_1.{time}.{commerce_body}"))}, commerce_body, commerce, 400)

twitch = fake("twitch")


def twitch_headers(time, body, kind):
    name, message = "Twitch-Eventsub-Message", "befa7b53-d79d-478f-86b9-120f112b044e"
    signature = mac(twitch, message + rfc3339(time) + body).hex()
    return {f"{name}-Id": message, f"{name}-Timestamp": rfc3339(time), f"{name}-Type": kind,
            f"{name}-Signature": f"sha256={signature}"}


twitch_body = '{"subscription":{"type":"channel.follow"},"event":{"user_id":"1"}}'
timed("twitch", lambda time: twitch_headers(time, twitch_body, "notification"), twitch_body, twitch, 3600)

kick_key, kick_body = rsa_key(), '{"broadcaster":{"user_id":1},"content":"hello"}'


def kick_headers(time):
    moment = rfc3339(time)
    return {"Kick-Event-Message-Id": "01JD", "Kick-Event-Message-Timestamp": moment, "Kick-Event-Type": "chat.message.sent",
            "Kick-Event-Signature": rsa_sign(kick_key, f"01JD.{moment}.{kick_body}")}


timed("kick", kick_headers, kick_body, pem(kick_key), 3600)

# --- the time within the signature's header -------------------------------------------------------------------------
def stripe_like(preset, header, body, late=400, key="v1", join=".", scale="", first="t", between=","):
    secret = fake(preset)

    def headers(time):
        time = f"{time}{scale}"
        return {header: f"{first}={time}{between}{key}={mac(secret, time + join + body).hex()}"}

    timed(preset, headers, body, secret, late)


stripe_like("mux", "Mux-Signature", '{"type":"video.asset.ready","id":"3a56ac3d"}')
stripe_like("go1", "go1-signature", '{"id":"1","event_type":"enrollment.complete"}', late=70)
stripe_like("tiktok", "TikTok-Signature", '{"client_key":"k","event":"video.publish.completed"}', key="s")
stripe_like("rootly", "X-Rootly-Signature", '{"event":{"id":"e1","type":"incident.created"}}', join="")

retell, retell_body = fake("retell"), '{"event":"call_ended","call":{"call_id":"c"}}'
timed("retell", lambda time: {"X-Retell-Signature": f"v={time}250,d={mac(retell, f'{retell_body}{time}250').hex()}"},
      retell_body, retell, 400)
ghost, ghost_body = fake("ghost"), '{"post":{"current":{"id":"1"}}}'
timed("ghost", lambda time: {"X-Ghost-Signature": f"sha256={mac(ghost, f'{ghost_body}{time}250').hex()}, t={time}250"},
      ghost_body, ghost, 400)

# --- public keys, new at each run -----------------------------------------------------------------------------------
for preset, header, body in [
    ("wise", "X-Signature-SHA256", '{"data":{"resource":{"id":1}},"event_type":"transfers#state-change"}'),
    ("highlevel", "x-wh-signature", '{"type":"ContactCreate","webhookId":"w1","timestamp":"2025-12-31T23:59:58Z"}'),
]:
    key = rsa_key()
    add(preset, {header: rsa_sign(key, body)}, body, pem(key))

# --- the URL and a form ---------------------------------------------------------------------------------------------
address = f"{URL}/mandrill?source=a"
events = '[{"event":"send","msg":{"_id":"ä&1"}}]'
body = f"mandrill_events={quote_plus(events)}"
signed = f"{address}mandrill_events{events}"
add("mandrill", {"X-Mandrill-Signature": b64(mac(fake("mandrill"), signed, "sha1"))}, body, fake("mandrill"),
    url=address, content=FORM)

# --- a static token -------------------------------------------------------------------------------------------------
for preset, header in [("cloudflare", "cf-webhook-auth"), ("hugging-face", "X-Webhook-Secret"), ("xendit", "x-callback-token"),
                       ("flutterwave", "verif-hash")]:
    token(preset, header)
token("revenuecat", "Authorization", "Bearer " + fake("revenuecat"))

# --- further senders ------------------------------------------------------------------------------------------------
for preset, header, written, body, digest in [
    ("nylas", "X-Nylas-Signature", as_hex, '{"specversion":"1.0","type":"message.created","id":"5Fvmc"}', "sha256"),
    ("aftership", "aftership-hmac-sha256", b64, '{"event":"tracking_update","event_id":"94dadd60"}', "sha256"),
    ("aftership-shipping", "am-webhook-signature", after("hmac-sha256=", b64), '{"event_type":"label.created"}', "sha256"),
    ("salesforce-marketing-cloud", "x-sfmc-ens-signature", b64, '[{"eventCategoryType":"EngagementEvents"}]', "sha256"),
    ("lemon-squeezy", "X-Signature", as_hex, '{"meta":{"event_name":"order_created"}}', "sha256"),
    ("bolt", "X-Bolt-Hmac-Sha256", b64, '{"type":"payment","object":"transaction"}', "sha256"),
    ("dwolla", "X-Request-Signature-SHA-256", as_hex, '{"id":"80d8ff7d","topic":"customer_created"}', "sha256"),
    ("quickbooks", "intuit-signature", b64, '{"eventNotifications":[{"realmId":"1185883450"}]}', "sha256"),
    ("chargify", "X-Chargify-Webhook-Signature-Hmac-Sha-256", as_hex, '{"event":"test","payload":{}}', "sha256"),
    ("autodesk", "X-Adsk-Signature", after("sha1hash=", as_hex), '{"version":"1.0","resourceUrn":"urn:a"}', "sha1"),
    ("mongodb-atlas", "X-MMS-Signature", b64, '{"eventTypeName":"OUTSIDE_METRIC_THRESHOLD"}', "sha1"),
    ("primer", "X-Signature-Primary", b64, '{"eventType":"PAYMENT.STATUS"}', "sha256"),
    ("jobber", "X-Jobber-Hmac-SHA256", b64, '{"data":{"webHookEvent":{"topic":"CLIENT_CREATE"}}}', "sha256"),
    ("autotask", "X-Hook-Signature", after("sha1=", b64), '{"Action":"Update","EntityType":"Ticket"}', "sha1"),
    ("ashby", "Ashby-Signature", after("sha256=", as_hex), '{"action":"applicationSubmit","data":{}}', "sha256"),
    ("fireflies", "X-Hub-Signature", after("sha256=", as_hex), '{"meetingId":"m","eventType":"Transcription completed"}', "sha256"),
    ("circleback", "X-Signature", as_hex, '{"id":1,"name":"A meeting"}', "sha256"),
    ("firehydrant", "fh-signature", as_hex, '{"event":{"operation":"CREATED","resource_type":"incident"}}', "sha256"),
    ("column", "Column-Signature", as_hex, '{"id":"evnt_1","type":"wire.outgoing_transfer.completed"}', "sha256"),
    ("workable", "X-Workable-Signature", as_hex, '{"event_type":"candidate_created"}', "sha256"),
    ("webex", "X-Spark-Signature", as_hex, '{"id":"Y2lz","resource":"messages","event":"created"}', "sha1"),
    ("snyk", "X-Hub-Signature", after("sha256=", as_hex), '{"project":{"id":"p"},"newIssues":[]}', "sha256"),
    ("savvycal", "X-Savvycal-Signature", after("sha256=", as_hex), '{"type":"event.created","payload":{}}', "sha256"),
]:
    over_body(preset, header, written, body, digest)

for preset, header, body, named in [
    ("persona", "Persona-Signature", '{"data":{"type":"event","id":"evt_1"}}', {}),
    ("shippo", "Shippo-Auth-Signature", '{"event":"track_updated","test":true}', {}),
    ("tink", "X-Tink-Signature", '{"event":"refresh:finished","content":{}}', {}),
    ("increase", "Increase-Webhook-Signature", '{"id":"event_1","category":"account.created"}', {}),
    ("billit", "Billit-Signature", '{"UpdatedEntityID":12345,"UpdatedEntityType":"Order"}', {"key": "s"}),
]:
    stripe_like(preset, header, body, **named)
affirm, affirm_body = fake("affirm"), '{"event":"opened","checkout_token":"c"}'
timed("affirm", lambda time: {"X-Affirm-Signature":
                              f"t={time},v0={mac(affirm, f'{time}.{affirm_body}', 'sha512').hex()}"}, affirm_body, affirm, 400)

revolut, revolut_body = fake("revolut"), '{"event":"ORDER_COMPLETED","order_id":"9fc01989"}'
timed("revolut", lambda time: {"Revolut-Request-Timestamp": f"{time}250", "Revolut-Signature":
                               "v1=" + mac(revolut, f"v1.{time}250.{revolut_body}").hex()}, revolut_body, revolut, 400)

# HMAC of the body's SHA-256 in hexadecimal.
body = '{"id":"1f6e","type":"payment.completed"}'
hashed = hashlib.sha256(body.encode()).hexdigest()
add("tebex", {"X-Signature": mac(fake("tebex"), hashed).hex()}, body, fake("tebex"))

hex_secret = fake("squarespace").encode().hex()
body = '{"id":"5c2ba184","topic":"order.create"}'
add("squarespace", {"Squarespace-Signature": mac(bytes.fromhex(hex_secret), body).hex()}, body, hex_secret)

body = '[{"event":"recipient_completed","data":{"id":"d"}}]'
address = f"{URL}/pandadoc?signature={mac(fake('pandadoc'), body).hex()}"
add("pandadoc", {}, body, fake("pandadoc"), url=address)

# URL, a question mark, the sorted form, a dot and the nonce.
fields = {"To": "15551112222", "From": "15553334444", "Event": "Hangup & more"}
body = "&".join(f"{name}={quote_plus(text)}" for name, text in fields.items())
signed = f"{URL}/plivo?" + "".join(name + fields[name] for name in sorted(fields)) + ".12345"
add("plivo", {"X-Plivo-Signature-V3": b64(mac(fake("plivo"), signed)), "X-Plivo-Signature-V3-Nonce": "12345"}, body,
    fake("plivo"), content=FORM)

valid = entry("figma", {}, json.dumps({"event_type": "FILE_UPDATE", "passcode": "fake-passcode-of-figma"}),
              "fake-passcode-of-figma")
vectors.append(valid)
reject(valid, "token", lambda request: request.update(body=request["body"].replace("fake-", "fale-")))
token("vapi", "X-Vapi-Secret")

# --- derived keys, capitals, several signatures ---------------------------------------------------------------------
def braintree():
    public, private = "integration_public_key", fake("braintree")
    payload = b64(b"<notification><kind>check</kind></notification>") + "\n"
    signature = hmac.new(hashlib.sha1(private.encode()).digest(), payload.encode(), hashlib.sha1).hexdigest()
    body = f"bt_signature={quote_plus(f'{public}|{signature}')}&bt_payload={quote_plus(payload)}"
    vectors.append(entry("braintree", {}, body, private, content=FORM, key_id=public))
    changed = body.replace("bt_payload=PG5v", "bt_payload=PG5w")
    reject(vectors[-1], "body", lambda request: request.update(body=changed))


braintree()
body = '{"data":{"id":1},"Action":"updated"}'
key = hashlib.sha256(fake("connectwise").encode()).digest()
add("connectwise", {"x-content-signature": b64(mac(key, body))}, body, fake("connectwise"))

anet, body = "0123456789ABCDEF" * 8, '{"notificationId":"d0e8e7fe","eventType":"net.authorize.payment.void.created"}'
add("authorize-net", {"X-ANET-Signature": "sha512=" + mac(anet, body, "sha512").hex().upper()}, body, anet)

recurly, recurly_body = fake("recurly"), '{"id":"p1","object_type":"account"}'
timed("recurly", lambda time: {"recurly-signature": f"{time}250,{mac('old', f'{time}250.{recurly_body}').hex()},"
                               + mac(recurly, f"{time}250.{recurly_body}").hex()}, recurly_body, recurly, 400)
over_body("cursor", "X-Webhook-Signature", after("sha256=", as_hex), '{"event":"statusChange","status":"FINISHED"}')
over_body("commerce-layer", "X-CommerceLayer-Signature", b64, '{"data":{"id":"o1","type":"orders"}}')
over_body("tally", "Tally-Signature", b64, '{"eventId":"a4cb511e","eventType":"FORM_RESPONSE"}')
over_body("fastspring", "X-FS-Signature", b64, '{"events":[{"id":"e1","type":"order.completed"}]}')
stripe_like("courier", "courier-signature", '{"type":"message:updated","data":{"id":"1"}}', key="signature", scale="250")
stripe_like("whereby", "Whereby-Signature", '{"id":"fd6b4f1f","type":"room.client.joined"}')
lob, lob_body = fake("lob"), '{"id":"evt_1","event_type":{"id":"letter.created"}}'
timed("lob", lambda time: {"Lob-Signature-Timestamp": str(time), "Lob-Signature": mac(lob, f"{time}.{lob_body}").hex()},
      lob_body, lob, 400)
wallex, wallex_body = fake("airwallex"), '{"id":"evt_1","name":"payment_intent.created"}'
timed("airwallex", lambda time: {"x-timestamp": f"{time}250",
                                 "x-signature": mac(wallex, f"{time}250{wallex_body}").hex()}, wallex_body, wallex, 400)

# --- a query parameter, listed headers, a password ------------------------------------------------------------------
mercado = fake("mercado-pago")


def mercado_headers(time):
    manifest = f"id:ord01jq;request-id:2066ca19-c6f1;ts:{time};"
    return {"x-request-id": "2066ca19-c6f1", "x-signature": f"ts={time},v1={mac(mercado, manifest).hex()}"}


valid = entry("mercado-pago", mercado_headers(SENT), '{"action":"order.processed"}', mercado,
              url=f"{URL}/mercado-pago?data.id=ORD01JQ&type=order")
vectors.append(valid)
reject(valid, "query", lambda request: request.update(url=request["url"].replace("ORD01JQ", "ORD02JQ")))
reject(valid, "old", lambda request: request["headers"].update(mercado_headers(SENT - 400)))

content = "application/vnd.contentful.management.v1+json"
body = '{"sys":{"id":"abc","type":"Entry"}}'


def contentful_headers(time):
    listed = "content-type,x-contentful-signed-headers,x-contentful-timestamp,x-contentful-topic"
    values = {"content-type": content, "x-contentful-signed-headers": listed, "x-contentful-timestamp": f"{time}250",
              "x-contentful-topic": "ContentManagement.Entry.publish"}
    lines = ["POST", "/contentful?a=b", ";".join(f"{name}:{values[name]}" for name in listed.split(",")), contentful_body]
    return values | {"x-contentful-signature": mac(fake("contentful"), "\n".join(lines)).hex()}


contentful_body = body
for time, expected in [(SENT, "valid"), (SENT - 400, "invalid")]:
    made = entry("contentful", contentful_headers(time), body, fake("contentful"), url=f"{URL}/contentful?a=b")
    del made["request"]["headers"]["Content-Type"]
    vectors.append(made | {"expected": expected, "id": "contentful-made" if expected == "valid" else "contentful-old-made"})
reject(vectors[-2], "header", lambda request: request["headers"].update({"x-contentful-topic": "Entry.delete"}))

password = b64(b"hooks:example-password")
valid = entry("basic-auth", {"Authorization": f"Basic {password}"}, '{"event_type":"subscription_created"}',
              "hooks:example-password")
vectors.append(valid)
reject(valid, "password", lambda request: request["headers"].update({"Authorization": "Basic " + b64(b"hooks:another")}))

# --- challenges -----------------------------------------------------------------------------------------------------
body = json.dumps({"challenge": "pogchamp-kappa-360noscope-vohiyo", "subscription": {"id": "f1c2a387"}})
ask("twitch", twitch, {"method": "POST", "url": f"{URL}/twitch", "body": body, "headers":
                       {"Content-Type": JSON, **twitch_headers(SENT, body, "webhook_callback_verification")}},
    text_response("pogchamp-kappa-360noscope-vohiyo"))
ask("front", front, {"method": "POST", "url": f"{URL}/front", "body": front_body, "headers":
                     {"Content-Type": JSON, "X-Front-Challenge": "c0ffee", **front_headers(SENT)}}, text_response("c0ffee"))
ask("worldline", fake("worldline"), {"method": "GET", "url": f"{URL}/worldline", "body": "", "headers":
                                     {"X-GCS-Webhooks-Endpoint-Verification": "cd2e4d65"}}, text_response("cd2e4d65"),
    key_id="a-key-id")
ask("nylas", fake("nylas"), {"method": "GET", "url": f"{URL}/nylas?challenge=bc609b38", "body": "", "headers": {}},
    text_response("bc609b38"))
body = '{"id":"2c116b11-1110-91e0-b266-b792c8da5f11","type":"validation.webhook","subject":{}}'
signature = mac(fake("tebex"), hashlib.sha256(body.encode()).hexdigest()).hex()
ask("tebex", fake("tebex"), {"method": "POST", "url": f"{URL}/tebex", "body": body, "headers":
                             {"Content-Type": JSON, "X-Signature": signature}},
    {"content_type": JSON, "json": {"id": "2c116b11-1110-91e0-b266-b792c8da5f11"}, "headers": {}})

# --- certificates by URL ---------------------------------------------------------------------------------------------
def certificate(name, key):
    """A self-signed certificate: those of both providers are in a file without their issuer's."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    made = made.serial_number(1).add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), False)
    made = made.not_valid_before(datetime.datetime(2025, 6, 1)).not_valid_after(datetime.datetime(2026, 6, 1))
    return made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def by_certificate(preset, name, key, url, headers, body, parameters):
    valid = entry(preset, headers, body, None, parameters=parameters)
    del valid["secret"]
    valid["request"]["certificate"] = {"url": url, "pem": certificate(name, key)}
    vectors.append(valid)
    return valid


def sns(version, digest, **changes):
    message = {"Type": "Notification", "MessageId": "9d2c5580-b61d-550c-8583-37a582870907",
               "TopicArn": "arn:aws:sns:eu-central-1:123456789012:orders", "Subject": "An order",
               "Message": "{\"order\":\n7}", "Timestamp": "2025-12-31T23:59:58.250Z", "SignatureVersion": version,
               "UnsubscribeURL": "https://sns.eu-central-1.amazonaws.com/?Action=Unsubscribe"} | changes
    url = "https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-7506a1e35b36ef5a444dd1a8e7cc3ed8.pem"
    names = ["Message", "MessageId", "Subject", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"]
    text = "".join(f"{name}\n{message[name]}\n" for name in names if name in message)
    signature = b64(sns_key.sign(text.encode(), padding.PKCS1v15(), digest))
    return message | {"SigningCertURL": url, "Signature": signature}


sns_key = rsa_key()
for preset, version, digest in [("aws-sns", "2", hashes.SHA256()), ("aws-sns-v1", "1", hashes.SHA1())]:
    message = sns(version, digest)
    valid = by_certificate(preset, "sns.amazonaws.com", sns_key, message["SigningCertURL"], {"x-amz-sns-message-type":
                           "Notification"}, json.dumps(message), {"region": "eu-central-1", "topic_arns":
                           ["arn:aws:sns:eu-central-1:123456789012:orders", "arn:aws:sns:eu-central-1:123456789012:more"]})
    valid["request"]["headers"]["Content-Type"] = "text/plain; charset=UTF-8"
    other = "arn:aws:sns:eu-central-1:210987654321:orders"
    for what, changed in [
        ("topic", sns(version, digest, TopicArn=other)),
        ("old", sns(version, digest, Timestamp="2025-12-31T22:50:00.000Z")),
        ("type", sns(version, digest, Type="Other")),
        ("version", sns("3", digest)),
        ("message", message | {"Message": "another"}),
        # The text of another split of the same string to sign.
        ("split", sns(version, digest, Message="a", Subject="b\nTimestamp\nc")),
        ("bucket", message | {"SigningCertURL": message["SigningCertURL"].replace("eu-central-1", "s3-us-west-2")}),
        ("region", message | {"SigningCertURL": message["SigningCertURL"].replace("eu-central-1", "us-east-1")}),
    ]:
        reject(valid, what, lambda request: request.update({"body": json.dumps(changed)}))

paypal_key, paypal_time, paypal_body = rsa_key(), "2025-12-31T23:59:58Z", '{"id":"WH-1","event_type":"PAYMENT.SALE.COMPLETED"}'
for preset, host, name in [("paypal", "api", "messageverificationcerts"),
                           ("paypal-sandbox", "api.sandbox", "messageverificationcerts.sandbox")]:
    url = f"https://{host}.paypal.com/v1/notifications/certs/CERT-360caa42-fca2a594-a5cafa77"
    sent = "dfb3be50-fd74-11e4-8bf3-77339302725b"
    text = f"{sent}|{paypal_time}|4JH86294D6297924G|{zlib.crc32(paypal_body.encode())}"
    valid = by_certificate(preset, f"{name}.paypal.com", paypal_key, url, {
        "PAYPAL-TRANSMISSION-ID": sent, "PAYPAL-TRANSMISSION-TIME": paypal_time, "PAYPAL-CERT-URL": url,
        "PAYPAL-AUTH-ALGO": "SHA256withRSA", "PAYPAL-TRANSMISSION-SIG": rsa_sign(paypal_key, text)}, paypal_body,
        {"webhook_id": "4JH86294D6297924G"})
    reject(valid, "body", other_body)
    for what, header, value in [("algorithm", "PAYPAL-AUTH-ALGO", "SHA1withRSA"), ("id", "PAYPAL-TRANSMISSION-ID", "other"),
                                ("time", "PAYPAL-TRANSMISSION-TIME", "2025-12-31T23:59:59Z"),
                                ("host", "PAYPAL-CERT-URL", url.replace("paypal.com", "paypal.com.evil.test"))]:
        reject(valid, what, lambda request: request["headers"].update({header: value}))
