//! Documents for chats and programs, and the heartbeat, over HTTP.
//!
//! Always true: an address is a secret, and stands in no error; 2xx is taken, and nothing else.
//!
//! Does not: queue (the outbox does).

use std::time::Duration;

use agnes_config::Secret;
use serde_json::{Value, json};

use super::super::Kept;
use super::{Failed, News};

/// How long a receiver may take.
const ANSWERS: Duration = Duration::from_secs(10);

/// One line for a chat.
pub(super) fn as_text(kept: &Kept, news: News) -> Value {
    let alert = &kept.alert;
    let object = match alert.object.is_empty() {
        true => String::new(),
        false => format!(" {}", alert.object),
    };
    let text = match news {
        News::Resolved => format!(
            "[{}] resolved: {}{object} (since {})",
            kept.deployment, alert.id, kept.first_at
        ),
        News::Open | News::Reminder => {
            let still = match news {
                News::Reminder => format!(" (still, since {})", kept.first_at),
                _ => String::new(),
            };
            format!(
                "[{}] {}: {}{object}{still}: {}\nnext: {}\nrunbook: {}",
                kept.deployment,
                alert.severity,
                alert.id,
                alert.evidence,
                alert.next,
                alert.runbook
            )
        }
    };
    json!({ "text": text })
}

/// All that is known.
pub(super) fn as_json(kept: &Kept, news: News) -> Value {
    let mut document = serde_json::to_value(kept).unwrap_or_default();
    if let Some(fields) = document.as_object_mut() {
        fields.remove("told");
        fields.remove("refused");
        fields.insert("state".to_owned(), news.as_str().into());
    }
    document
}

/// Says that all is well.
///
/// # Errors
/// One clause, without the address.
pub fn heartbeat(url: &Secret) -> Result<(), String> {
    ask(url, |client, url| client.get(url))
}

/// Posts a document.
///
/// # Errors
/// Why it was not taken, without the address.
pub(super) fn send(url: &Secret, body: &Value) -> Result<(), Failed> {
    let asked = ask(url, |client, url| client.post(url).json(body));
    asked.map_err(|why| Failed {
        why,
        receiver_is_away: true,
    })
}

fn ask(
    url: &Secret,
    request: impl FnOnce(&reqwest::Client, &str) -> reqwest::RequestBuilder,
) -> Result<(), String> {
    // the address is a secret: no error of the library's may hold it
    let clause = |error: reqwest::Error| error.without_url().to_string();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    let client = reqwest::Client::builder()
        .timeout(ANSWERS)
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(clause)?;
    let answer = runtime
        .block_on(async { request(&client, url.expose()).send().await })
        .map_err(clause)?;
    match answer.status() {
        status if status.is_success() => Ok(()),
        status => Err(format!("HTTP {status}")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::kept;
    use super::*;

    #[test]
    fn a_chat_gets_what_to_do_and_a_program_everything() {
        let text = as_text(&kept(), News::Open);
        let text = text["text"].as_str().unwrap();
        assert!(
            text.starts_with("[agnes.example.com] critical: disk.space /data: 3 MiB"),
            "{text}"
        );
        assert!(text.contains("\nnext: make room\nrunbook: docs/operations.md#disk-full"));
        let document = as_json(&kept(), News::Reminder);
        assert_eq!(document["state"], "reminder");
        assert_eq!(document["id"], "disk.space");
        assert!(document.get("told").is_none());
    }
}
