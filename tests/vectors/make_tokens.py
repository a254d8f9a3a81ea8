#!/usr/bin/env python3
"""One valid request for each JWT preset, signed here as the provider's documents say.

Independent of the gateway and of the presets: nothing is read but this file. New keys are generated at each run
and their private halves are never written. Writes tokens.json and token_handshakes.json.
"""

import base64
import datetime
import hashlib
import json
import pathlib
import secrets
import urllib.parse
import uuid

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils
from cryptography.x509.oid import NameOID

HERE = pathlib.Path(__file__).resolve().parent
NOW = 1_790_000_000  # 2026-09-21T13:33:20Z
JSON_TYPE = {"Content-Type": "application/json"}
OUT = []


def b64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def compact(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def sha256(data):
    return hashlib.sha256(data.encode()).digest()


def rsa_key():
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def public_pem(key):
    return (
        key.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )


def jwk(key, alg, kid=None):
    if isinstance(key, rsa.RSAPrivateKey):
        members = jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    elif isinstance(key, ed25519.Ed25519PrivateKey):
        members = jwt.algorithms.OKPAlgorithm.to_jwk(key.public_key(), as_dict=True)
    else:
        numbers = key.public_key().public_numbers()
        size = (key.curve.key_size + 7) // 8
        name = {256: "P-256", 384: "P-384", 521: "P-521"}[key.curve.key_size]
        members = {
            "kty": "EC",
            "crv": name,
            "x": b64url(numbers.x.to_bytes(size, "big")),
            "y": b64url(numbers.y.to_bytes(size, "big")),
        }
    members.pop("key_ops", None)
    members.update(use="sig", alg=alg)
    if kid:
        members["kid"] = kid
    return members


def jwks(*keys):
    return {"keys": list(keys)}


def fake_secret():
    return "fake" + secrets.token_hex(32)


def hs(secret, claims, alg="HS256"):
    return jwt.encode(claims, secret, algorithm=alg)


def sign(key, alg, claims, kid=None, typ="JWT"):
    headers = {"typ": typ}
    if kid:
        headers["kid"] = kid
    return jwt.encode(claims, key, algorithm=alg, headers=headers)


def vector(
    preset, url, headers, body, parameters=None, secret=None, key_set=None, method="POST", now=NOW, tag="made"
):
    entry = {"id": f"{preset}-{tag}", "preset": preset, "parameters": parameters or {}}
    if secret is not None:
        entry["secret"] = secret
    if key_set is not None:
        entry["jwks"] = key_set
    entry["request"] = {"method": method, "url": url, "headers": headers, "body": body}
    entry["now"] = now
    entry["expected"] = "valid"
    OUT.append(entry)


def plaid():
    key, kid = ec.generate_private_key(ec.SECP256R1()), str(uuid.uuid4())
    # Plaid's bodies are printed with an indentation of two spaces; the hash is over those bytes.
    body = json.dumps(
        {"webhook_type": "TRANSACTIONS", "webhook_code": "SYNC_UPDATES_AVAILABLE", "item_id": "wz666"}, indent=2
    )
    claims = {"iat": NOW - 12, "request_body_sha256": sha256(body).hex()}
    headers = {"Plaid-Verification": sign(key, "ES256", claims, kid), **JSON_TYPE}
    vector(
        "plaid",
        "https://hooks.example.com/plaid",
        headers,
        body,
        secret=public_pem(key),
        key_set=jwks(jwk(key, "ES256", kid)),
    )


def vonage():
    secret = fake_secret()
    body = compact({"channel": "sms", "message_uuid": str(uuid.uuid4()), "from": "447700900001", "text": "Hi"})
    claims = {
        "iat": NOW - 2,
        "jti": str(uuid.uuid4()),
        "iss": "Vonage",
        "payload_hash": sha256(body).hex(),
        "api_key": "a1b2c3d",
        "application_id": str(uuid.uuid4()),
    }
    headers = {"Authorization": "Bearer " + hs(secret, claims), **JSON_TYPE}
    vector("vonage", "https://hooks.example.com/inbound", headers, body, secret=secret)
    # A GET callback: the claim hashes the query's parameters as JSON, the body is empty.
    query = {"msisdn": "447700900001", "to": "447700900000", "text": "Hi"}
    claims = {**claims, "jti": str(uuid.uuid4()), "payload_hash": sha256(compact(query)).hex()}
    url = "https://hooks.example.com/inbound?" + urllib.parse.urlencode(query)
    vector(
        "vonage",
        url,
        {"Authorization": "Bearer " + hs(secret, claims)},
        "",
        secret=secret,
        method="GET",
        tag="made-get",
    )


def messagebird():
    for tag, method, url, body, alg in [
        ("made", "POST", "https://hooks.example.com/mb?b=2&a=1", compact({"type": "message.created"}), "HS256"),
        ("made-get", "GET", "https://hooks.example.com:8443/mb?b=2&a=%20x", "", "HS512"),
    ]:
        secret = fake_secret()
        claims = {
            "iss": "MessageBird",
            "nbf": NOW - 5,
            "exp": NOW + 55,
            "jti": str(uuid.uuid4()),
            "url_hash": sha256(url).hex(),
        }
        if body:
            claims["payload_hash"] = sha256(body).hex()
        headers = {"MessageBird-Signature-JWT": hs(secret, claims, alg)}
        if body:
            headers.update(JSON_TYPE)
        vector("messagebird-jwt", url, headers, body, secret=secret, method=method, tag=tag)


def qstash():
    for tag, padded in [("made", False), ("made-padded", True)]:
        secret = "sig_" + fake_secret()
        url, body = "https://hooks.example.com/api/qstash?job=7", compact({"hello": "world"})
        digest = b64url(sha256(body))
        claims = {
            "iss": "Upstash",
            "sub": url,
            "exp": NOW + 300,
            "nbf": NOW,
            "iat": NOW,
            "jti": "jwt_" + secrets.token_hex(12),
            "body": digest + "=" * (-len(digest) % 4 if padded else 0),
        }
        headers = {"Upstash-Signature": hs(secret, claims), "Upstash-Retried": "0", **JSON_TYPE}
        vector("qstash", url, headers, body, secret=secret, tag=tag)


def fusionauth():
    body = compact({"event": {"id": str(uuid.uuid4()), "type": "user.create", "user": {"id": str(uuid.uuid4())}}})
    claims = {"request_body_sha256": base64.b64encode(sha256(body)).decode()}
    url = "https://hooks.example.com/fusionauth"
    secret = fake_secret()
    token = jwt.encode(claims, secret, algorithm="HS256", headers={"kid": "webhook-key"})
    vector("fusionauth", url, {"X-FusionAuth-Signature-JWT": token, **JSON_TYPE}, body, secret=secret)
    key, user_key = rsa_key(), rsa_key()
    vector(
        "fusionauth-jwks",
        url,
        {"X-FusionAuth-Signature-JWT": sign(key, "RS256", claims, "hooks"), **JSON_TYPE},
        body,
        parameters={"base_url": "https://auth.example.com"},
        key_set=jwks(jwk(user_key, "RS256", "users"), jwk(key, "RS256", "hooks")),
    )


def conductorone():
    key = ec.generate_private_key(ec.SECP256R1())
    url, body = "https://hooks.example.com/c1", compact({"version": "v1", "webhookId": "2fCjnQ", "event": "test"})
    claims = {
        "aud": "hooks.example.com",
        "c1typ": "wh",
        "exp": NOW + 110,
        "htb_s256": base64.b64encode(sha256(body)).decode(),
        "htm": "POST",
        "htu": url,
        "iat": NOW - 10,
        "iss": "acme.conductor.one",
        "jti": secrets.token_urlsafe(20),
        "nbf": NOW - 70,
    }
    headers = {"Authorization": "Bearer " + sign(key, "ES256", claims, "c1"), **JSON_TYPE}
    parameters = {"tenant": "acme", "audience": "hooks.example.com"}
    vector("conductorone", url, headers, body, parameters, key_set=jwks(jwk(key, "ES256", "c1")))


def netlify():
    secret, body = fake_secret(), compact({"id": "5b0c", "state": "ready", "name": "site"})
    token = hs(secret, {"iss": "netlify", "sha256": sha256(body).hex()})
    vector(
        "netlify",
        "https://hooks.example.com/netlify",
        {"X-Webhook-Signature": token, **JSON_TYPE},
        body,
        secret=secret,
    )


def livekit():
    # The body of WebhookReceiver.test.ts in livekit/node-sdks, shortened, and its claims.
    secret, key = fake_secret(), "APIexample"
    body = compact({"event": "room_started", "id": "EV_1", "room": {"sid": "RM_TkVjUvAqgzKz", "name": "mytestroom"}})
    claims = {"iss": key, "nbf": NOW - 10, "exp": NOW + 290, "sha256": base64.b64encode(sha256(body)).decode()}
    headers = {"Authorization": hs(secret, claims), "Content-Type": "application/webhook+json"}
    vector("livekit", "https://hooks.example.com/livekit", headers, body, {"api_key": key}, secret)
    vector("livekit", "https://hooks.example.com/livekit", headers, body + " ", {"api_key": key}, secret, tag="body-made")
    OUT[-1]["expected"] = "invalid"


def monday():
    secret, url = fake_secret(), "https://hooks.example.com/monday"
    claims = {
        "accountId": 1825528,
        "userId": 4012689,
        "aud": url,
        "exp": NOW + 290,
        "shortLivedToken": "SHORT",
        "iat": NOW - 10,
    }
    body = compact({"event": {"type": "create_pulse", "boardId": 1, "pulseId": 2}})
    vector("monday", url, {"Authorization": hs(secret, claims), **JSON_TYPE}, body, {"url": url}, secret)


def canonical_qsh(method, path, query):
    """METHOD&path&query: names sorted, values of a name joined with commas, all percent-encoded (RFC 3986)."""
    encode = lambda text: urllib.parse.quote(text, safe="-._~")
    pairs = {}
    for name, value in urllib.parse.parse_qsl(query, keep_blank_values=True):
        if name != "jwt":
            pairs.setdefault(name, []).append(value)
    text = "&".join(
        encode(name) + "=" + ",".join(encode(value) for value in sorted(values))
        for name, values in sorted(pairs.items())
    )
    return hashlib.sha256(f"{method.upper()}&{path}&{text}".encode()).hexdigest()


def atlassian():
    secret, client = fake_secret(), "unique-client-key"
    query = "user_id=5b10&user_key=a%20b&list=2&list=1"
    claims = {
        "iss": client,
        "iat": NOW - 3,
        "exp": NOW + 177,
        "qsh": canonical_qsh("POST", "/jira/issue-created", query),
    }
    body = compact({"webhookEvent": "jira:issue_created", "timestamp": NOW * 1000})
    headers = {"Authorization": "JWT " + hs(secret, claims), **JSON_TYPE}
    url = "https://hooks.example.com/jira/issue-created?" + query
    vector("atlassian-connect", url, headers, body, {"client_key": client}, secret)


def google(preset, url, email, body):
    key, older = rsa_key(), rsa_key()
    claims = {
        "aud": url,
        "azp": "113774264463038321964",
        "email": email,
        "email_verified": True,
        "exp": NOW + 3000,
        "iat": NOW - 600,
        "iss": "https://accounts.google.com",
        "sub": "113774264463038321964",
    }
    parameters = {"audience": url, "service_account": email}
    if preset == "google-chat":
        del parameters["service_account"]  # the default
    headers = {"Authorization": "Bearer " + sign(key, "RS256", claims, "b" * 40), **JSON_TYPE}
    vector(
        preset,
        url,
        headers,
        compact(body),
        parameters,
        key_set=jwks(jwk(older, "RS256", "a" * 40), jwk(key, "RS256", "b" * 40)),
    )


def google_both():
    message = {
        "message": {"data": "SGVsbG8=", "messageId": "2070443601311540"},
        "subscription": "projects/p/subscriptions/s",
    }
    google("google-pubsub", "https://hooks.example.com/push", "push@project.iam.gserviceaccount.com", message)
    google("google-chat", "https://hooks.example.com/chat", "chat@system.gserviceaccount.com", {"type": "MESSAGE"})


def azure():
    tenant, app = str(uuid.uuid4()), str(uuid.uuid4())
    body = compact(
        [{"id": str(uuid.uuid4()), "eventType": "Microsoft.Storage.BlobCreated", "subject": "/x", "data": {}}]
    )
    for tag, iss, caller, aud in [
        ("made", f"https://sts.windows.net/{tenant}/", "appid", f"api://{app}"),
        ("made-v2", f"https://login.microsoftonline.com/{tenant}/v2.0", "azp", app),
    ]:
        key = rsa_key()
        claims = {
            "aud": aud,
            "iss": iss,
            "iat": NOW - 300,
            "nbf": NOW - 300,
            "exp": NOW + 3300,
            caller: "4962773b-9cdb-44cf-a8bf-237846a00ab7",
            "tid": tenant,
            "roles": ["AzureEventGridSecureWebhookSubscriber"],
        }
        headers = {
            "Authorization": "Bearer " + sign(key, "RS256", claims, "entra"),
            "aeg-event-type": "Notification",
            **JSON_TYPE,
        }
        parameters = {"tenant": tenant, "issuer": iss, "audience": aud}
        url = "https://hooks.example.com/events"
        vector("azure-event-grid", url, headers, body, parameters, key_set=jwks(jwk(key, "RS256", "entra")), tag=tag)
    return {"tenant": tenant, "issuer": f"https://sts.windows.net/{tenant}/", "audience": f"api://{app}"}


def graph():
    secret = fake_secret()
    item = lambda number: {
        "subscriptionId": f"s{number}",
        "changeType": "created",
        "resource": "me/messages/1",
        "clientState": secret,
    }
    body = compact({"value": [item(1), item(2)]})
    vector("microsoft-graph", "https://hooks.example.com/graph", dict(JSON_TYPE), body, secret=secret)
    return secret


def kinde():
    key = rsa_key()
    stamp = datetime.datetime.fromtimestamp(NOW - 30, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    claims = {
        "data": {"user": {"id": "kp_1234567890", "email": "user@example.com"}},
        "event_id": "event_1234567890",
        "event_timestamp": stamp,
        "source": "admin",
        "timestamp": stamp,
        "type": "user.created",
    }
    headers = {"Content-Type": "application/jwt", "webhook-id": "whr_1"}
    url = "https://hooks.example.com/kinde"
    token = sign(key, "RS256", claims, "2a:e0:4f")
    vector("kinde", url, headers, token, {"domain": "example.kinde.com"}, key_set=jwks(jwk(key, "RS256", "2a:e0:4f")))


def wix():
    key = rsa_key()
    inner = compact({"actionEvent": {"body": {"order": {"id": "1"}}}})
    event = compact({"data": inner, "instanceId": str(uuid.uuid4()), "eventType": "wix.ecom.v1.order_approved"})
    token = sign(key, "RS256", {"data": event, "iat": NOW - 1, "exp": NOW + 299}, "qG1kD2dz")
    vector("wix", "https://hooks.example.com/wix", {"Content-Type": "text/plain"}, token, secret=public_pem(key))


def wix_psp():
    key = rsa_key()
    body = compact({"wixTransactionId": "t1", "amount": "100"})
    claims = {"data": {"SHA256": sha256(body).hex()}, "iat": NOW - 1, "exp": NOW + 299}
    token = sign(key, "RS256", claims)
    headers = {"Content-Type": "application/json", "Digest": f"JWT={token}"}
    vector("wix-psp", "https://hooks.example.com/wix-psp", headers, body, secret=public_pem(key))


def kraken():
    key = ec.generate_private_key(ec.SECP256R1())
    claims = {
        "iss": "kraken-pay",
        "aud": None,
        "exp": NOW + 86_000,
        "payload": {"external_id": "GSoAAAAAAAA", "status": "success", "customer_kraktag": "bob"},
    }
    # By hand, because PyJWT rejects an aud of null.
    head = {"alg": "ES256", "typ": "JWT", "kid": "kp1"}
    text = b64url(compact(head).encode()) + "." + b64url(compact(claims).encode())
    token = text + "." + b64url(raw_ecdsa(key, text.encode(), hashes.SHA256()))
    vector(
        "kraken-pay",
        "https://hooks.example.com/kraken",
        {"Content-Type": "text/plain"},
        token,
        key_set=jwks(jwk(key, "ES256", "kp1")),
    )


def hanko():
    key = rsa_key()
    claims = {
        "sub": "hanko webhooks",
        "iat": NOW - 1,
        "exp": NOW + 299,
        "aud": ["app.example.com"],
        "data": {"id": str(uuid.uuid4())},
        "evt": "user.create",
    }
    body = compact({"token": sign(key, "RS256", claims, "h1"), "event": "user.create"})
    parameters = {"api_url": "https://0000.hanko.io", "audience": "app.example.com"}
    vector(
        "hanko",
        "https://hooks.example.com/hanko",
        dict(JSON_TYPE),
        body,
        parameters,
        key_set=jwks(jwk(key, "RS256", "h1")),
    )


def certificate(name, key, issuer_name, issuer_key, ca, path_length, oid, digest):
    subject = x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, name), x509.NameAttribute(NameOID.COUNTRY_NAME, "US")]
    )
    issuer = x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, issuer_name), x509.NameAttribute(NameOID.COUNTRY_NAME, "US")]
    )
    day = datetime.timedelta(days=1)
    start = datetime.datetime.fromtimestamp(NOW, datetime.timezone.utc) - 400 * day
    usage = dict(
        digital_signature=not ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + 1500 * day)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=path_length), critical=True)
        .add_extension(x509.KeyUsage(**usage), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    if oid:
        builder = builder.add_extension(
            x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), b"\x05\x00"), critical=False
        )
    return builder.sign(issuer_key, digest)


def apple():
    root_key, middle_key = (ec.generate_private_key(ec.SECP384R1()) for _ in range(2))
    leaf_key = ec.generate_private_key(ec.SECP256R1())
    root = certificate("Made Root", root_key, "Made Root", root_key, True, None, None, hashes.SHA384())
    middle = certificate(
        "Made Middle", middle_key, "Made Root", root_key, True, 0, "1.2.840.113635.100.6.2.1", hashes.SHA384()
    )
    leaf = certificate(
        "Made Leaf", leaf_key, "Made Middle", middle_key, False, None, "1.2.840.113635.100.6.11.1", hashes.SHA384()
    )
    chain = [base64.b64encode(c.public_bytes(serialization.Encoding.DER)).decode() for c in (leaf, middle, root)]
    claims = {
        "notificationType": "TEST",
        "notificationUUID": str(uuid.uuid4()),
        "version": "2.0",
        "signedDate": (NOW - 90) * 1000 + 7,
        "data": {"appAppleId": 1234, "bundleId": "com.example", "bundleVersion": "1", "environment": "Sandbox"},
    }
    head = {"alg": "ES256", "x5c": chain}
    text = b64url(compact(head).encode()) + "." + b64url(compact(claims).encode())
    token = text + "." + b64url(raw_ecdsa(leaf_key, text.encode(), hashes.SHA256()))
    secret = root.public_bytes(serialization.Encoding.PEM).decode()
    parameters = {"bundle_id": "com.example", "environment": "Sandbox"}
    vector(
        "apple-app-store",
        "https://hooks.example.com/apple",
        dict(JSON_TYPE),
        compact({"signedPayload": token}),
        parameters,
        secret,
    )


def secevent():
    for tag, key, alg in [
        ("made", rsa_key(), "RS256"),
        ("made-eddsa", ed25519.Ed25519PrivateKey.generate(), "EdDSA"),
    ]:
        claims = {
            "iss": "https://transmitter.example.com/",
            "aud": "https://receiver.example.com/",
            "iat": NOW - 4000,
            "jti": str(uuid.uuid4()),
            "events": {
                "https://schemas.openid.net/secevent/caep/event-type/session-revoked": {"event_timestamp": NOW - 4001}
            },
            "sub_id": {"format": "email", "email": "user@example.com"},
        }
        parameters = {
            "issuer": "https://transmitter.example.com/",
            "audience": "https://receiver.example.com/",
            "jwks_url": "https://transmitter.example.com/jwks.json",
        }
        headers = {"Content-Type": "application/secevent+jwt", "Accept": "application/json"}
        token = sign(key, alg, claims, "s1", typ="secevent+jwt")
        vector(
            "security-event-token",
            "https://hooks.example.com/set",
            headers,
            token,
            parameters,
            key_set=jwks(jwk(key, alg, "s1")),
            tag=tag,
        )


def raw_ecdsa(key, text, digest):
    """r and s side by side, as JWS writes them (RFC 7518 section 3.4)."""
    size = (key.curve.key_size + 7) // 8
    r, s = utils.decode_dss_signature(key.sign(text, ec.ECDSA(digest)))
    return r.to_bytes(size, "big") + s.to_bytes(size, "big")


def truelayer():
    key, kid = ec.generate_private_key(ec.SECP521R1()), str(uuid.uuid4())
    body = compact({"type": "payment_executed", "event_id": str(uuid.uuid4()), "event_version": 1})
    stamp = datetime.datetime.fromtimestamp(NOW - 1, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    head = {
        "alg": "ES512",
        "kid": kid,
        "tl_version": "2",
        "tl_headers": "X-Tl-Webhook-Timestamp,Content-Type",
        "jku": "https://webhooks.truelayer.com/.well-known/jwks",
    }
    payload = f"POST /tl-webhook\nX-Tl-Webhook-Timestamp: {stamp}\nContent-Type: application/json\n{body}"
    protected = b64url(compact(head).encode())
    signature = raw_ecdsa(key, f"{protected}.{b64url(payload.encode())}".encode(), hashes.SHA512())
    headers = {"Tl-Signature": f"{protected}..{b64url(signature)}", "X-Tl-Webhook-Timestamp": stamp, **JSON_TYPE}
    key_set = jwks(jwk(key, "ES512", kid))
    vector(
        "truelayer", "https://hooks.example.com/tl-webhook", headers, body, secret=public_pem(key), key_set=key_set
    )


def constant_contact():
    key = rsa_key()
    body = compact([{"event_type": "contact.created", "account_id": "a07e1jn9vqrb", "text": "point . and ümlaut"}])
    protected = b64url(compact({"alg": "RS256", "ts": NOW - 4, "b64": False, "crit": ["b64"]}).encode())
    signature = key.sign(protected.encode() + b"." + body.encode(), padding.PKCS1v15(), hashes.SHA256())
    headers = {"X-CTCT-WEBHOOK-SIG": f"{protected}..{b64url(signature)}", **JSON_TYPE}
    vector("constant-contact", "https://hooks.example.com/ctct", headers, body, key_set=jwks(jwk(key, "RS256")))


def gong():
    key = rsa_key()
    url, body = "https://hooks.example.com/gong?rule=3", compact(
        {"callData": {"metaData": {"id": "55993"}}, "isTest": False}
    )
    token = sign(key, "RS256", {"webhook_url": url, "body_sha256": sha256(body).hex(), "exp": NOW + 300})
    vector("gong", url, {"Authorization": "Bearer " + token, **JSON_TYPE}, body, secret=public_pem(key))


def handshakes(azure_parameters, graph_secret):
    def entry(preset, request, response, parameters=None, secret=None):
        value = {"preset": preset, "parameters": parameters or {}}
        if secret is not None:
            value["secret"] = secret
        return {**value, "request": request, "now": NOW, "reply": response}

    def request(method, url, headers, body):
        return {"method": method, "url": url, "headers": headers, "body": body}

    code = "512d38b6-c7b8-40c8-89fe-f46f9e9622b6"
    validation = [
        {
            "id": "2d1781af-3a4c-4d7c-bd0c-e34b19da4e66",
            "topic": "/subscriptions/x",
            "subject": "",
            "data": {
                "validationCode": code,
                "validationUrl": f"https://rp-eastus2.eventgrid.azure.net:553/validate?id={code}",
            },
            "eventType": "Microsoft.EventGrid.SubscriptionValidationEvent",
            "eventTime": "2026-09-21T13:33:20.0000000Z",
            "metadataVersion": "1",
            "dataVersion": "1",
        }
    ]
    events = "https://hooks.example.com/events"
    found = [
        entry(
            "azure-event-grid",
            request("POST", events, {"aeg-event-type": "SubscriptionValidation", **JSON_TYPE}, compact(validation)),
            {"content_type": "application/json", "json": {"validationResponse": code}, "headers": {}},
            azure_parameters,
        ),
        entry(
            "azure-event-grid",
            request("OPTIONS", events, {"WebHook-Request-Origin": "eventgrid.azure.net"}, ""),
            {"content_type": None, "body": "", "headers": {"WebHook-Allowed-Origin": "eventgrid.azure.net"}},
            azure_parameters,
        ),
        entry(
            "microsoft-graph",
            request(
                "POST",
                "https://hooks.example.com/graph?validationToken=abc-123_X%3A%2B%3D",
                {"Content-Type": "text/plain"},
                "",
            ),
            {"content_type": "text/plain", "body": "abc-123_X:+=", "headers": {}},
            secret=graph_secret,
        ),
        entry(
            "monday",
            request(
                "POST",
                "https://hooks.example.com/monday",
                dict(JSON_TYPE),
                compact({"challenge": "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmd"}),
            ),
            {
                "content_type": "application/json",
                "json": {"challenge": "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmd"},
                "headers": {},
            },
            {"url": "https://hooks.example.com/monday"},
            fake_secret(),
        ),
    ]
    token = "Validation: Testing client application reachability for subscription Request-Id: "
    token += "522a8e7e-096a-494c-aaf1-ac0dcfca45b7"
    gap = [
        entry(
            "microsoft-graph",
            request(
                "POST",
                "https://hooks.example.com/graph?validationToken=" + quoted,
                {"Content-Type": "text/plain"},
                "",
            ),
            {"content_type": "text/plain", "body": token, "headers": {}},
            secret=graph_secret,
        )
        for quoted in (urllib.parse.quote(token, safe=""), urllib.parse.quote_plus(token))
    ]
    return found, gap


def write(name, value):
    (HERE / name).write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def main():
    for make in (
        plaid,
        vonage,
        messagebird,
        qstash,
        fusionauth,
        conductorone,
        netlify,
        livekit,
        monday,
        atlassian,
        google_both,
    ):
        make()
    azure_parameters = azure()
    graph_secret = graph()
    for make in (kinde, wix, wix_psp, kraken, hanko, apple, secevent, truelayer, constant_contact, gong):
        make()
    found, gap = handshakes(azure_parameters, graph_secret)
    write("tokens.json", OUT)
    write("token_handshakes.json", found + gap)
    print(f"{len(OUT)} requests, {len(found) + len(gap)} challenges")


if __name__ == "__main__":
    main()
