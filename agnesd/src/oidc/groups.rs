//! Which groups of the outside directory somebody is in.
//!
//! Always true: what cannot be found out is a failure and never "none": somebody who is no member any more must not keep a
//! role because the directory was away, nor lose all because an answer was cut.
//!
//! Does not: say what a group means here (mappings do).

use openidconnect::HttpRequest;
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::Failed;
use super::http::Http;

/// What the user lets us read at Google.
pub(super) const SCOPE: &str = "https://www.googleapis.com/auth/cloud-identity.groups.readonly";
/// Google's own.
const GOOGLE: &str = "https://cloudidentity.googleapis.com";
/// Every group of Google's has it. `cloudidentity.googleapis.com/groups.security` would find those alone that somebody
/// labelled as security groups, and of all others say nothing at all.
const LABEL: &str = "cloudidentity.googleapis.com/groups.discussion_forum";
/// Of one page, the most that Google gives.
const PAGE: usize = 1000;
/// More pages than anybody has groups.
const PAGES: usize = 20;
/// The longest id that is one.
const LONGEST: usize = 256;

/// The texts of a claim; none where the claim is not there: several providers leave it out of who is in no group.
pub(super) fn of_claim(claims: &Value, claim: &str) -> Result<Vec<String>, Failed> {
    let wrong = |why: &str| Failed::Provider(format!("the claim {claim}: {why}"));
    // OpenID Connect Core section 5.6.2: it is elsewhere, as with somebody who is in more groups than fit
    let elsewhere = claims
        .get("_claim_names")
        .and_then(|names| names.get(claim));
    if elsewhere.is_some() {
        return Err(wrong("is too long for the id_token, and left out"));
    }
    let texts: Vec<&str> = match claims.get(claim) {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(all)) => {
            let texts: Option<Vec<&str>> = all.iter().map(Value::as_str).collect();
            texts.ok_or_else(|| wrong("holds what is no text"))?
        }
        Some(_) => return Err(wrong("is no list of texts")),
    };
    Ok(sound(texts.into_iter().map(str::to_owned)))
}

/// What cannot be the id of a group here is mapped to nothing, so that nothing is lost with it.
fn sound(ids: impl Iterator<Item = String>) -> Vec<String> {
    let sound = |id: &String| {
        (1..=LONGEST).contains(&id.chars().count()) && !id.chars().any(char::is_control)
    };
    ids.filter(sound).collect()
}

/// One page of the search.
#[derive(Deserialize)]
struct Found {
    #[serde(default)]
    memberships: Vec<Membership>,
    #[serde(default, rename = "nextPageToken")]
    next_page_token: String,
}

#[derive(Deserialize)]
struct Membership {
    #[serde(rename = "groupKey")]
    key: Key,
}

#[derive(Deserialize)]
struct Key {
    /// A group's address.
    id: String,
}

/// The addresses of all groups that somebody is in, directly or through others, asked with their own access token.
pub(super) async fn of_google(
    http: &Http,
    endpoint: Option<&Url>,
    access_token: &str,
    email: &str,
) -> Result<Vec<String>, Failed> {
    let base = endpoint.map_or(GOOGLE, Url::as_str).trim_end_matches('/');
    let mut ids = Vec::new();
    let mut page = String::new();
    for _ in 0..PAGES {
        let url = search(base, email, &page);
        let found = ask(http, &url, access_token).await?;
        ids.extend(found.memberships.into_iter().map(|one| one.key.id));
        page = found.next_page_token;
        if page.is_empty() {
            return Ok(sound(ids.into_iter()));
        }
    }
    Err(failed("more pages than anybody has groups"))
}

/// The query is CEL: a quote in an address must not end the text that it stands in.
fn search(base: &str, email: &str, page: &str) -> String {
    let email = email.replace('\\', "\\\\").replace('\'', "\\'");
    let query = format!("member_key_id == '{email}' && '{LABEL}' in labels");
    let mut pairs = url::form_urlencoded::Serializer::new(String::new());
    pairs.append_pair("query", &query);
    pairs.append_pair("pageSize", &PAGE.to_string());
    if !page.is_empty() {
        pairs.append_pair("pageToken", page);
    }
    format!(
        "{base}/v1/groups/-/memberships:searchTransitiveGroups?{}",
        pairs.finish()
    )
}

async fn ask(http: &Http, url: &str, access_token: &str) -> Result<Found, Failed> {
    let request = axum::http::Request::get(url)
        .header("accept", "application/json")
        .header("authorization", format!("Bearer {access_token}"))
        .body(Vec::new());
    let request: HttpRequest = request.map_err(|_| failed("the search cannot be asked"))?;
    let answer = http.ask(request).await;
    let answer = answer.map_err(|why| failed(&why.to_string()))?;
    let status = answer.status().as_u16();
    if status != 200 {
        // not by this account: its edition of Cloud Identity has no such search, or the scope was not granted
        let hint = match status {
            403 => {
                " (Cloud Identity Premium or Workspace Enterprise is needed, and the scope cloud-identity.groups.readonly)"
            }
            _ => "",
        };
        return Err(failed(&format!("HTTP {status}{hint}")));
    }
    serde_json::from_slice(answer.body()).map_err(|_| failed("the answer does not parse"))
}

fn failed(why: &str) -> Failed {
    Failed::Provider(format!("the search for groups: {why}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claim(claims: Value) -> Result<Vec<String>, Failed> {
        of_claim(&claims, "groups")
    }

    #[test]
    fn a_claim_that_is_not_there_is_no_group_and_one_that_was_cut_is_a_failure() {
        assert_eq!(claim(json!({"groups": ["a", "b"]})).unwrap(), ["a", "b"]);
        assert_eq!(claim(json!({"groups": "a"})).unwrap(), ["a"]);
        assert_eq!(claim(json!({"groups": ["", "a\n", "b"]})).unwrap(), ["b"]);
        for none in [json!({}), json!({"groups": null}), json!({"groups": []})] {
            assert!(claim(none).unwrap().is_empty());
        }
        for wrong in [
            json!({"groups": [1]}),
            json!({"groups": {"a": 1}}),
            json!({"_claim_names": {"groups": "src1"}}),
        ] {
            assert!(
                matches!(claim(wrong.clone()), Err(Failed::Provider(_))),
                "{wrong}"
            );
        }
    }

    #[test]
    fn a_quote_in_an_address_does_not_end_the_query() {
        let url = search(GOOGLE, "o'brien@example.com", "p&q");
        let url = Url::parse(&url).unwrap();
        let pairs: Vec<_> = url.query_pairs().into_owned().collect();
        assert_eq!(
            pairs[0].1,
            format!("member_key_id == 'o\\'brien@example.com' && '{LABEL}' in labels")
        );
        assert_eq!(pairs[2], ("pageToken".to_owned(), "p&q".to_owned()));
        assert_eq!(
            url.path(),
            "/v1/groups/-/memberships:searchTransitiveGroups"
        );
    }
}
