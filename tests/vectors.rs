//! Signed requests from the providers' own SDK tests and documents, and from scripts that are independent of the
//! presets (tests/vectors). Each goes through configuration, compilation and decision as in the gateway.

mod harness;
mod mutations;

use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

pub use harness::{Case, Verdict, cases, decide_at, read};

/// The vectors from SDKs, if the file exists; it is not part of the project.
fn shared() -> Option<Value> {
    let default = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/vectors/webhook-vectors.json");
    let path = std::env::var_os("HOOKGATE_VECTORS").map_or(default, PathBuf::from);
    Some(serde_json::from_slice(&std::fs::read(path).ok()?).unwrap())
}

/// The `auth` for a scheme of that file.
fn auth(vector: &Value) -> Value {
    let websub = |hash: &str| {
        json!({"signature": {
            "algorithm": format!("hmac-{hash}"), "header": "X-Hub-Signature", "encoding": "hex", "signed_payload": ["body"],
            "parse": {"prefix": format!("{hash}=")},
        }})
    };
    match (vector["preset"].as_str().unwrap(), vector["provider"].as_str().unwrap()) {
        ("adyen-standard", _) => json!({"preset": "adyen"}),
        ("apple-assn-v2", _) => json!({"preset": "apple-app-store", "parameters": {
            "bundle_id": vector["credentials"]["bundle_id"], "environment": vector["credentials"]["environment"],
        }}),
        ("generic-multi-sha256", _) => json!({"signature": {
            "algorithm": "hmac-sha256", "header": "X-Signature", "encoding": "hex", "signed_payload": ["body"],
            "parse": {"list": {"separator": ",", "prefix": "sha256="}},
        }}),
        ("standard-webhooks-v1", "OpenAI") => json!({"preset": "openai"}),
        ("standard-webhooks-v1", _) => json!({"preset": "standard-webhooks"}),
        ("standard-webhooks-v1a", _) => json!({"preset": "standard-webhooks-ed25519"}),
        ("vonage-jwt", _) => json!({"preset": "vonage"}),
        ("websub-sha256", "Jira / Bitbucket Cloud") => json!({"preset": "jira"}),
        ("websub-sha256", "Bitbucket Server") => json!({"preset": "bitbucket"}),
        ("websub-sha256", _) => websub("sha256"),
        ("websub-sha1", _) => websub("sha1"),
        ("x-twitter", _) => json!({"preset": "x"}),
        (same, _) => json!({ "preset": same }),
    }
}

/// The content of the secret files of a vector.
fn secrets(credentials: &Value) -> Vec<Vec<u8>> {
    let text = |name: &str| credentials[name].as_str().map(|text| text.as_bytes().to_vec());
    if let Some(several) = credentials["secrets"].as_array() {
        return several.iter().map(|secret| secret.as_str().unwrap().as_bytes().to_vec()).collect();
    }
    let root = || credentials["root_ca_der_b64"].as_str().map(|text| STANDARD.decode(text).unwrap());
    let one = text("secret").or_else(|| text("public_key_pem")).or_else(|| text("public_key_b64"));
    vec![one.or_else(|| text("public_key_spki_b64")).or_else(root).unwrap()]
}

/// The signed time of a vector, for vectors without a clock.
fn own_time(vector: &Value, presets: &Value) -> Option<u64> {
    let header = |name: &str| {
        let headers = vector["request"]["headers"].as_object()?;
        headers.iter().find(|(found, _)| found.eq_ignore_ascii_case(name))?.1.as_str()
    };
    match vector["preset"].as_str()? {
        "apple-assn-v2" => {
            let body: Value = serde_json::from_str(vector["request"]["body"].as_str()?).ok()?;
            let payload = body["signedPayload"].as_str()?.split('.').nth(1)?.to_owned();
            let payload = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).ok()?;
            let payload: Value = serde_json::from_slice(&payload).ok()?;
            Some(payload["signedDate"].as_u64()? / 1000)
        }
        "truelayer" => {
            let at: jiff::Timestamp = header("X-Tl-Webhook-Timestamp")?.parse().ok()?;
            u64::try_from(at.as_second()).ok()
        }
        preset => header(presets[preset]["timestamp"]["from"].as_str()?.strip_prefix("header:")?)?.parse().ok(),
    }
}

#[test]
fn every_vector_of_the_providers_sdks_has_its_expected_result() {
    let Some(file) = shared() else {
        println!("no webhook-vectors.json found (HOOKGATE_VECTORS): skipped; the project's own vectors still run");
        return;
    };
    let vectors = file["vectors"].as_array().unwrap();
    let (mut passed, mut wrong) = (0, Vec::new());
    for vector in vectors {
        let now = vector["now"].as_u64().or_else(|| own_time(vector, &file["presets"]));
        let case = Case {
            auth: auth(vector),
            secrets: secrets(&vector["credentials"]),
            jwks: None,
            tolerance: vector["tolerance_s"].as_u64(),
            request: vector["request"].clone(),
            now: now.unwrap_or(1_700_000_000),
        };
        let verdict = case.decide();
        let expected = vector["expected"] == "valid";
        // The decision must reject the request; an invalid configuration does not count.
        let right = if expected { verdict == Verdict::Granted } else { matches!(verdict, Verdict::Rejected(_)) };
        if right { passed += 1 } else { wrong.push(format!("{}: {verdict:?}", vector["id"])) }
    }
    println!("{passed} of {} vectors as expected", vectors.len());
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(passed >= 109);
}

#[test]
fn every_vector_of_this_project_has_its_expected_result() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for file in ["signatures.json", "tokens.json", "published.json"] {
        for (id, case, valid) in cases(file) {
            count += 1;
            let verdict = case.decide();
            if (verdict == Verdict::Granted) != valid || matches!(verdict, Verdict::NotLoaded(_)) {
                wrong.push(format!("{id}: {verdict:?}"));
            }
        }
    }
    println!("{count} vectors as expected");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Without a request that passes, a preset would be untested.
#[test]
fn every_preset_has_a_vector() {
    let tried: Vec<String> = ["signatures.json", "tokens.json"]
        .iter()
        .flat_map(|file| cases(file))
        .filter(|(_, _, valid)| *valid)
        .map(|(_, case, _)| case.auth["preset"].as_str().unwrap().to_owned())
        .collect();
    for name in hookgate::config::presets::PRESETS.keys() {
        assert!(tried.iter().any(|tried| tried == name), "{name} has no vector in tests/vectors");
    }
}

#[test]
fn every_challenge_is_answered_as_its_provider_expects() {
    for vector in ["signature_handshakes.json", "token_handshakes.json"].iter().flat_map(|file| read(file)) {
        let case = Case::read(&vector);
        let answer = case.challenge(&vector["handshake_token"]);
        let response = &vector["reply"];
        let answer = answer.unwrap_or_else(|why| panic!("{}: {why}", vector["request"]));
        let expected = match response.get("json") {
            Some(json) => json.clone(),
            None => response["body"].clone(),
        };
        let body = if response.get("json").is_some() {
            serde_json::from_str(&answer.body).unwrap()
        } else {
            Value::String(answer.body.clone())
        };
        assert_eq!(body, expected, "{}", vector["preset"]);
        if let Some(content_type) = response["content_type"].as_str() {
            assert!(answer.content_type.starts_with(content_type), "{}", vector["preset"]);
        }
        for (name, value) in response["headers"].as_object().into_iter().flatten() {
            let found = answer.headers.iter().find(|(found, _)| found.as_str().eq_ignore_ascii_case(name));
            assert_eq!(found.map(|(_, value)| value.as_str()), value.as_str(), "{}: {name}", vector["preset"]);
        }
    }
}

/// An attacker who could choose the version would choose the weakest: v1 signs no method, URL or time.
#[test]
fn hubspot_s_version_is_the_route_s_and_not_the_request_s() {
    let versions = ["hubspot-v1", "hubspot-v2", "hubspot-v3"];
    let all = cases("signatures.json")
        .into_iter()
        .filter(|(_, case, valid)| *valid && versions.contains(&case.auth["preset"].as_str().unwrap()));
    let mut tried = 0;
    for (id, case, _) in all {
        for version in versions.iter().filter(|version| case.auth["preset"] != **version) {
            let mut other = case.clone();
            other.auth["preset"] = (*version).into();
            assert!(matches!(other.decide(), Verdict::Rejected(_)), "{id} passes as {version}: {:?}", other.decide());
            tried += 1;
        }
    }
    assert!(tried >= 6, "{tried}");
}
