//! Subscriptions that the gateway confirms: by the URL in a verified message alone, and each of them once.

use serde_json::{Value, json};

use super::{HOST, Sns, TOPIC, all_of, with_head};
use crate::support::Gateway;

const TOKEN: &str = "2336412f37fb687f5d51e6e2425929f52e8e353134fe72d55ef8b330217d82da";

/// A topic of another region, which the route accepts.
const ELSEWHERE: &str = "arn:aws:sns:us-east-1:123456789012:orders";

fn target(token: &str) -> String {
    format!("/?Action=ConfirmSubscription&TopicArn={TOPIC}&Token={token}")
}

/// The changes by which a message asks for a confirmation.
fn asks(token: &str) -> Value {
    let url = format!("https://{HOST}{}", target(token));
    json!({"Type": "SubscriptionConfirmation", "MessageId": token, "SubscribeURL": url, "Token": token})
}

/// An SNS whose topic can be subscribed to, and a gateway that confirms.
async fn confirming() -> Sns {
    let parameters = json!({"region": "eu-central-1", "topic_arns": [TOPIC, ELSEWHERE]});
    let sns = Sns::with(json!({"challenge": true, "parameters": parameters})).await;
    sns.host
        .answers_at(&target(TOKEN), with_head("200 OK\r\ncontent-type: text/xml", "<ConfirmSubscriptionResponse/>"));
    sns
}

async fn answered(gateway: &Gateway) -> Option<f64> {
    gateway.counted("challenge_answered", "").await
}

/// A copy of the message must not restore a subscription that was deleted meanwhile.
#[tokio::test]
async fn a_subscription_is_confirmed_once_by_the_signed_url() {
    let mut sns = confirming().await;
    let message = sns.message(asks(TOKEN));
    let answer = sns.send(&message).await;
    assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, ""));
    for _ in 0..2 {
        let connected = sns.proxied.recv().await.unwrap();
        assert!(connected.starts_with(&format!("CONNECT {HOST}:443 HTTP/1.1\r\n")), "{connected}");
    }
    let request = sns.host.requests()[1].clone();
    assert!(request.starts_with(&format!("GET {} HTTP/1.1\r\n", target(TOKEN))), "{request}");
    assert_eq!((answered(&sns.gateway).await, sns.fetches("success").await), (Some(1.0), Some(2.0)));
    // Copies are answered, at the rate of all challenges, without another fetch.
    for number in 1..25 {
        let copy = sns.send(&message).await;
        assert_eq!(copy.status, if number < 20 { 200 } else { 429 }, "{number}");
    }
    // A notification is forwarded as before.
    assert_eq!(sns.send(&sns.message(json!({}))).await.status, 200);
    assert_eq!((sns.host.fetches(), sns.upstream.seen().len()), (2, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_with_one_token_wait_for_one_confirmation() {
    let sns = confirming().await;
    assert_eq!(sns.send(&sns.message(json!({}))).await.status, 200);
    let messages: Vec<Value> = (0..15).map(|_| sns.message(asks(TOKEN))).collect();
    let answers = all_of(messages.iter().map(|message| sns.send(message))).await;
    assert!(answers.iter().all(|answer| answer.status == 200));
    assert_eq!((sns.host.fetches(), sns.upstream.seen().len()), (2, 1));
}

/// Each of these is a verified message of SNS, but asks for something else: it is an event for the application.
#[tokio::test]
async fn only_the_url_of_a_confirmation_is_fetched() {
    let sns = confirming().await;
    let good = format!("https://{HOST}{}", target(TOKEN));
    let urls = [
        good.replace("eu-central-1.amazonaws.com/", "us-east-1.amazonaws.com/"),
        good.replace(HOST, "sns.eu-central-1.amazonaws.com.evil.test"),
        good.replace(HOST, "169.254.169.254"),
        good.replace(HOST, "user@sns.eu-central-1.amazonaws.com"),
        good.replace(HOST, "sns.eu-central-1.amazonaws.com@evil.test"),
        good.replace(HOST, "sns.eu-central-1.amazonaws.com:8443"),
        good.replace("https:", "http:"),
        good.replace("/?", "/any?"),
        good.replace("ConfirmSubscription", "DeleteTopic"),
        good.replace(TOPIC, ELSEWHERE),
        good.replace(TOKEN, "other"),
        good.replace(&format!("&Token={TOKEN}"), ""),
        format!("{good}&Token=other"),
        format!("{good}&Action=DeleteTopic"),
        format!("{good}&AuthenticateOnUnsubscribe=true"),
        format!("{good}#a"),
        String::new(),
    ];
    let with = |changes: Value| {
        let mut all = asks(TOKEN);
        all.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        sns.message(all)
    };
    let mut messages: Vec<Value> = urls.iter().map(|url| with(json!({"SubscribeURL": url}))).collect();
    messages.extend([
        with(json!({"Type": "UnsubscribeConfirmation"})),
        with(json!({"Type": "Notification"})),
        with(json!({"Token": "other"})),
        // The region of the topic is not that of the host.
        with(json!({"TopicArn": ELSEWHERE, "SubscribeURL": good.replace(TOPIC, ELSEWHERE)})),
    ]);
    for message in &messages {
        assert_eq!(sns.send(message).await.status, 200, "{message}");
    }
    // The certificate alone was fetched.
    assert_eq!((sns.host.fetches(), sns.upstream.seen().len()), (1, messages.len()));
    assert_eq!(answered(&sns.gateway).await, None);
}

#[tokio::test]
async fn a_message_that_is_not_verified_confirms_nothing() {
    let sns = confirming().await;
    let mut tampered = sns.message(asks("another"));
    tampered["Token"] = TOKEN.into();
    tampered["SubscribeURL"] = format!("https://{HOST}{}", target(TOKEN)).into();
    let mut unsigned = sns.message(asks(TOKEN));
    unsigned.as_object_mut().unwrap().remove("Signature");
    let mut of_others = asks(TOKEN);
    of_others["TopicArn"] = "arn:aws:sns:eu-central-1:210987654321:orders".into();
    let mut old = asks(TOKEN);
    old["Timestamp"] = "2026-11-23T22:54:00.000Z".into();
    for message in [tampered, unsigned, sns.message(of_others), sns.message(old)] {
        assert_eq!(sns.send(&message).await.status, 401, "{message}");
    }
    // The certificate alone was fetched.
    assert_eq!((sns.host.fetches(), sns.upstream.seen().len()), (1, 0));
}

/// SNS sends the message again after a 503.
#[tokio::test]
async fn a_confirmation_that_fails_is_503_and_not_repeated_at_once() {
    let sns = confirming().await;
    sns.host.answers_at(&target("expired"), with_head("400 Bad Request", ""));
    let moved = format!("302 Found\r\nlocation: https://{HOST}{}", target(TOKEN));
    sns.host.answers_at(&target("moved"), with_head(&moved, ""));
    sns.host.answers_at(&target("large"), with_head("200 OK", &"a".repeat(17 * 1024)));
    for token in ["expired", "moved", "large"] {
        for _ in 0..2 {
            let answer = sns.send(&sns.message(asks(token))).await;
            assert_eq!(answer.problem(), (503, "subscription_not_confirmed".into()), "{token}");
            assert_eq!(answer.header("retry-after"), Some("10"));
            assert!(!answer.text().contains(token), "{}", answer.text());
        }
    }
    assert_eq!((sns.host.fetches(), sns.fetches("error").await), (4, Some(3.0)));
    assert_eq!(sns.send(&sns.message(asks(TOKEN))).await.status, 200);
    assert_eq!((sns.host.fetches(), sns.upstream.seen().len()), (5, 0));
}

#[tokio::test]
async fn without_opt_in_a_confirmation_is_forwarded() {
    for more in [json!({}), json!({"challenge": false})] {
        let sns = Sns::with(more).await;
        assert_eq!(sns.send(&sns.message(asks(TOKEN))).await.status, 200);
        assert_eq!((sns.host.fetches(), sns.upstream.seen().len()), (1, 1));
        assert_eq!(answered(&sns.gateway).await, None);
    }
}
