//! The built-in provider presets: presets/*.yaml, embedded in the program, and their parser. No I/O.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::file::preset::PresetFile;
use super::yaml;

/// Name and text of each preset.
pub const PRESETS: &[(&str, &str)] = &[
    ("adyen", include_str!("../../presets/adyen.yaml")),
    ("adyen-platform", include_str!("../../presets/adyen-platform.yaml")),
    ("apple-app-store", include_str!("../../presets/apple-app-store.yaml")),
    ("asana", include_str!("../../presets/asana.yaml")),
    ("atlassian-connect", include_str!("../../presets/atlassian-connect.yaml")),
    ("azure-event-grid", include_str!("../../presets/azure-event-grid.yaml")),
    ("bitbucket", include_str!("../../presets/bitbucket.yaml")),
    ("box", include_str!("../../presets/box.yaml")),
    ("bridge", include_str!("../../presets/bridge.yaml")),
    ("buildkite", include_str!("../../presets/buildkite.yaml")),
    ("calendly", include_str!("../../presets/calendly.yaml")),
    ("clickup", include_str!("../../presets/clickup.yaml")),
    ("coinbase-commerce", include_str!("../../presets/coinbase-commerce.yaml")),
    ("conductorone", include_str!("../../presets/conductorone.yaml")),
    ("constant-contact", include_str!("../../presets/constant-contact.yaml")),
    ("customerio", include_str!("../../presets/customerio.yaml")),
    ("discord", include_str!("../../presets/discord.yaml")),
    ("docusign", include_str!("../../presets/docusign.yaml")),
    ("dropbox", include_str!("../../presets/dropbox.yaml")),
    ("elevenlabs", include_str!("../../presets/elevenlabs.yaml")),
    ("fusionauth", include_str!("../../presets/fusionauth.yaml")),
    ("fusionauth-jwks", include_str!("../../presets/fusionauth-jwks.yaml")),
    ("gitea", include_str!("../../presets/gitea.yaml")),
    ("github", include_str!("../../presets/github.yaml")),
    ("gitlab", include_str!("../../presets/gitlab.yaml")),
    ("gitlab-token", include_str!("../../presets/gitlab-token.yaml")),
    ("gocardless", include_str!("../../presets/gocardless.yaml")),
    ("gong", include_str!("../../presets/gong.yaml")),
    ("google-chat", include_str!("../../presets/google-chat.yaml")),
    ("google-pubsub", include_str!("../../presets/google-pubsub.yaml")),
    ("hanko", include_str!("../../presets/hanko.yaml")),
    ("hook0", include_str!("../../presets/hook0.yaml")),
    ("hubspot-v1", include_str!("../../presets/hubspot-v1.yaml")),
    ("hubspot-v2", include_str!("../../presets/hubspot-v2.yaml")),
    ("hubspot-v3", include_str!("../../presets/hubspot-v3.yaml")),
    ("intercom", include_str!("../../presets/intercom.yaml")),
    ("jira", include_str!("../../presets/jira.yaml")),
    ("kinde", include_str!("../../presets/kinde.yaml")),
    ("kraken-pay", include_str!("../../presets/kraken-pay.yaml")),
    ("line", include_str!("../../presets/line.yaml")),
    ("linear", include_str!("../../presets/linear.yaml")),
    ("lithic", include_str!("../../presets/lithic.yaml")),
    ("logto", include_str!("../../presets/logto.yaml")),
    ("mailgun", include_str!("../../presets/mailgun.yaml")),
    ("messagebird-hmac", include_str!("../../presets/messagebird-hmac.yaml")),
    ("messagebird-jwt", include_str!("../../presets/messagebird-jwt.yaml")),
    ("meta", include_str!("../../presets/meta.yaml")),
    ("meta-signed-request", include_str!("../../presets/meta-signed-request.yaml")),
    ("microsoft-graph", include_str!("../../presets/microsoft-graph.yaml")),
    ("modern-treasury", include_str!("../../presets/modern-treasury.yaml")),
    ("monday", include_str!("../../presets/monday.yaml")),
    ("netlify", include_str!("../../presets/netlify.yaml")),
    ("okta", include_str!("../../presets/okta.yaml")),
    ("onfleet", include_str!("../../presets/onfleet.yaml")),
    ("openai", include_str!("../../presets/openai.yaml")),
    ("paddle", include_str!("../../presets/paddle.yaml")),
    ("plaid", include_str!("../../presets/plaid.yaml")),
    ("polar", include_str!("../../presets/polar.yaml")),
    ("pusher", include_str!("../../presets/pusher.yaml")),
    ("qonto", include_str!("../../presets/qonto.yaml")),
    ("qstash", include_str!("../../presets/qstash.yaml")),
    ("razorpay", include_str!("../../presets/razorpay.yaml")),
    ("replicate", include_str!("../../presets/replicate.yaml")),
    ("resend", include_str!("../../presets/resend.yaml")),
    ("sanity", include_str!("../../presets/sanity.yaml")),
    ("security-event-token", include_str!("../../presets/security-event-token.yaml")),
    ("sendgrid", include_str!("../../presets/sendgrid.yaml")),
    ("shopify", include_str!("../../presets/shopify.yaml")),
    ("slack", include_str!("../../presets/slack.yaml")),
    ("square", include_str!("../../presets/square.yaml")),
    ("standard-webhooks", include_str!("../../presets/standard-webhooks.yaml")),
    ("standard-webhooks-ed25519", include_str!("../../presets/standard-webhooks-ed25519.yaml")),
    ("stripe", include_str!("../../presets/stripe.yaml")),
    ("svix", include_str!("../../presets/svix.yaml")),
    ("telegram", include_str!("../../presets/telegram.yaml")),
    ("telnyx", include_str!("../../presets/telnyx.yaml")),
    ("ticket-tailor", include_str!("../../presets/ticket-tailor.yaml")),
    ("trello", include_str!("../../presets/trello.yaml")),
    ("truelayer", include_str!("../../presets/truelayer.yaml")),
    ("twilio", include_str!("../../presets/twilio.yaml")),
    ("typeform", include_str!("../../presets/typeform.yaml")),
    ("vercel", include_str!("../../presets/vercel.yaml")),
    ("vonage", include_str!("../../presets/vonage.yaml")),
    ("webflow", include_str!("../../presets/webflow.yaml")),
    ("wix", include_str!("../../presets/wix.yaml")),
    ("wix-psp", include_str!("../../presets/wix-psp.yaml")),
    ("woocommerce", include_str!("../../presets/woocommerce.yaml")),
    ("workos", include_str!("../../presets/workos.yaml")),
    ("worldpay", include_str!("../../presets/worldpay.yaml")),
    ("x", include_str!("../../presets/x.yaml")),
    ("xero", include_str!("../../presets/xero.yaml")),
    ("zendesk", include_str!("../../presets/zendesk.yaml")),
    ("zoho", include_str!("../../presets/zoho.yaml")),
    ("zoom", include_str!("../../presets/zoom.yaml")),
];

/// The text of a preset; `None` if the name is unknown.
pub fn text(name: &str) -> Option<&'static str> {
    PRESETS.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

/// A preset whose `${…}` placeholders are not filled in; `None` if the name is unknown.
pub fn find(name: &str) -> Option<PresetFile> {
    parse(text(name)?, &BTreeMap::new()).ok()
}

/// Name and content of each preset, with its `${…}` placeholders.
pub fn all() -> impl Iterator<Item = (&'static str, PresetFile)> {
    PRESETS.iter().filter_map(|(name, _)| Some((*name, find(name)?)))
}

/// Parses a preset and replaces its `${…}` placeholders by the given parameters.
///
/// # Errors
/// Every problem of the text, for authors of presets.
pub fn parse(text: &str, parameters: &BTreeMap<String, String>) -> Result<PresetFile, String> {
    let document = yaml::read(text).map_err(|problems| {
        let problems = problems.iter().map(|at| format!("{}: {}", at.position.line, at.message));
        problems.collect::<Vec<_>>().join("; ")
    })?;
    let mut value = document.value;
    fill(&mut value, parameters);
    PresetFile::deserialize(value).map_err(|error| error.to_string())
}

fn fill(value: &mut Value, parameters: &BTreeMap<String, String>) {
    match value {
        Value::String(text) if text.contains("${") => {
            for (name, parameter) in parameters {
                *text = text.replace(&format!("${{{name}}}"), parameter);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| fill(item, parameters)),
        Value::Object(members) => members.values_mut().for_each(|member| fill(member, parameters)),
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_the_folder() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/presets");
        let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.map(|name| name.strip_suffix(".yaml").unwrap().to_owned()).collect();
        names.sort();
        let table: Vec<&str> = PRESETS.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, table);
    }

    #[test]
    fn each_is_well_formed_and_says_where_it_was_read() {
        for (name, text) in PRESETS {
            let preset = parse(text, &BTreeMap::new()).unwrap_or_else(|error| panic!("{name}: {error}"));
            let told = [&preset.title, &preset.retries, &preset.unsigned].iter().all(|text| !text.is_empty());
            assert!(told && !preset.source.to_vec().is_empty() && text.starts_with("# Source"), "{name}");
            let schemes = [preset.signature.is_some(), preset.static_token.is_some(), preset.jwt.is_some()];
            assert_eq!(schemes.iter().filter(|scheme| **scheme).count(), 1, "{name}");
            for parameter in preset.parameters.keys() {
                assert!(text.contains(&format!("${{{parameter}}}")), "{name}: {parameter} is not used");
            }
        }
    }
}
