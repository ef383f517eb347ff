//! Signing in at an OpenID provider: who is let in, who is not, and which groups they are in afterwards.

use std::process::Command;

use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

use super::client::{Caller, PASSWORD, started_with};
use crate::server::{Place, Server};

mod issuer;

use issuer::{ACCESS, CLIENT, Issuer, SECRET};

const ONE: &str = "one@example.com";

/// A browser that goes where it is sent.
struct Browser {
    client: Client,
    base: String,
    cookies: Vec<String>,
}

struct Page {
    status: StatusCode,
    location: String,
    text: String,
}

impl Browser {
    fn of(server: &Server) -> Self {
        let client = Client::builder().no_proxy().redirect(Policy::none());
        Self {
            client: client.build().unwrap(),
            base: format!("http://{}", server.http),
            cookies: Vec::new(),
        }
    }

    async fn get(&mut self, url: &str) -> Page {
        let url = match url.starts_with('/') {
            true => format!("{}{url}", self.base),
            false => url.to_owned(),
        };
        let request = self.client.get(&url);
        let request = match url.starts_with(&self.base) && !self.cookies.is_empty() {
            true => request.header(COOKIE, self.cookies.join("; ")),
            false => request,
        };
        let response = request.send().await.unwrap();
        for set in response.headers().get_all(SET_COOKIE) {
            let pair = set.to_str().unwrap().split(';').next().unwrap().to_owned();
            let (name, value) = pair.split_once('=').unwrap();
            self.cookies
                .retain(|kept| !kept.starts_with(&format!("{name}=")));
            if !value.is_empty() {
                self.cookies.push(pair.clone());
            }
        }
        Page {
            status: response.status(),
            location: response
                .headers()
                .get(LOCATION)
                .map_or(String::new(), |to| to.to_str().unwrap().to_owned()),
            text: response.text().await.unwrap(),
        }
    }

    /// To the provider, and where it sends back.
    async fn sent_back(&mut self) -> String {
        let to = self.get("/auth/oidc/login").await;
        assert_eq!(to.status, 303, "{}", to.text);
        let back = self.get(&to.location).await;
        assert_eq!(back.status, 303, "{}", back.text);
        assert!(
            back.location.contains("/auth/oidc/callback?"),
            "{}",
            back.location
        );
        back.location
    }

    async fn signs_in(&mut self) -> Page {
        let back = self.sent_back().await;
        self.get(&back).await
    }

    async fn me(&mut self) -> Value {
        serde_json::from_str(&self.get("/api/me").await.text).unwrap()
    }
}

fn settings(issuer: &Issuer, groups: Option<&'static str>) -> impl FnOnce(&mut Command) {
    let base = issuer.base().to_owned();
    move |command: &mut Command| {
        command
            .env("OIDC_ISSUER", &base)
            .env("OIDC_CLIENT_ID", CLIENT)
            .env("OIDC_CLIENT_SECRET", SECRET)
            .env("AGNES_CLOUD_IDENTITY_ENDPOINT", &base);
        if let Some(groups) = groups {
            command.env("OIDC_GROUPS", groups);
        }
    }
}

/// The server's own address is not known before it listens.
async fn served(
    place: &Place,
    issuer: &Issuer,
    groups: Option<&'static str>,
) -> (Server, Caller, Caller) {
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let change = settings(issuer, groups);
    started_with(place, move |command| {
        command
            .env("AGNES_LISTEN", format!("127.0.0.1:{port}"))
            .env("PUBLIC_URL", format!("http://127.0.0.1:{port}"));
        change(command);
    })
    .await
}

async fn mapped(admin: &Caller, group: &str, role: &str) {
    let body = json!({"external_id": group, "role": role});
    let reply = admin.post("/api/group-mappings", body).await;
    assert_eq!(reply.status, 201, "{reply:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_signs_in_and_is_the_same_person_next_time() {
    let (place, issuer) = (Place::new(), Issuer::start().await);
    let (server, _, admin) = served(&place, &issuer, None).await;
    let mut browser = Browser::of(&server);
    assert!(
        browser
            .get("/login")
            .await
            .text
            .contains("/auth/oidc/login")
    );
    let page = browser.signs_in().await;
    assert_eq!(
        (page.status, page.location.as_str()),
        (StatusCode::SEE_OTHER, "/"),
        "{}",
        page.text
    );
    let me = browser.me().await;
    assert_eq!(
        (&me["email"], &me["method"], &me["name"]),
        (&json!(ONE), &json!("oidc"), &json!("One of us"))
    );
    assert_eq!(me["admin"], false);
    // the flow's own cookie is gone
    assert_eq!(browser.cookies.len(), 1, "{:?}", browser.cookies);
    // another address over there: still the same person here
    issuer.says(|says| says.claims = json!({"email": "new@example.com"}));
    let mut again = Browser::of(&server);
    assert_eq!(again.signs_in().await.status, 303);
    assert_eq!(again.me().await["id"], me["id"]);
    // A07: the address of somebody who left, given to another person over there
    issuer.says(|says| says.claims = json!({"sub": "subject-2"}));
    assert_eq!(Browser::of(&server).signs_in().await.status, 401);
    assert!(
        server.log().contains("One@Example.com (subject-2 of"),
        "{}",
        server.log()
    );
    assert!(
        server
            .log()
            .contains("is known to this issuer as somebody else")
    );
    // whoever is shown out here does not come back under another address
    issuer.says(|says| says.claims = json!({"email": "other@example.com"}));
    let reply = admin
        .post(&format!("/api/users/{ONE}/disable"), json!({}))
        .await;
    assert_eq!(reply.status, 200);
    assert_eq!(Browser::of(&server).signs_in().await.status, 401);
    assert_eq!(again.get("/api/me").await.status, 401);
    assert_eq!(admin.audit("user.identity_linked").await.len(), 1);
    let log = server.log();
    for secret in [SECRET, ACCESS, "code-1"] {
        assert!(!log.contains(secret), "{secret}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_is_there_is_connected_by_its_address_once() {
    let (place, issuer) = (Place::new(), Issuer::start().await);
    let (server, _, admin) = served(&place, &issuer, None).await;
    let form = json!({"email": ONE, "password": PASSWORD});
    let made = admin.post("/api/users", form).await;
    let mut browser = Browser::of(&server);
    assert_eq!(browser.signs_in().await.status, 303);
    assert_eq!(browser.me().await["id"], made.body["id"]);
    assert_eq!(admin.audit("user.created").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_inherits_an_address_is_let_in_once_an_administrator_has_said_how() {
    let (place, issuer) = (Place::new(), Issuer::start().await);
    let (server, _, admin) = served(&place, &issuer, None).await;
    let mut first = Browser::of(&server);
    assert_eq!(first.signs_in().await.status, 303);
    let old = first.me().await["id"].clone();
    let shown = admin.get(&format!("/api/users/{ONE}")).await;
    assert_eq!(shown.body["issuers"], json!([issuer.base()]));
    issuer.says(|says| says.claims = json!({"sub": "subject-2"}));
    assert_eq!(Browser::of(&server).signs_in().await.status, 401);
    // somebody else: the one who had it gets another address
    for (wrong, status) in [
        (json!({"email": super::client::ADMIN}), 409),
        (json!({"email": "none"}), 422),
        (json!({"emial": "x@example.com"}), 422),
    ] {
        let reply = admin
            .patch(&format!("/api/users/{ONE}"), wrong.clone())
            .await;
        assert_eq!(reply.status, status, "{wrong}");
    }
    let reply = admin
        .patch(
            &format!("/api/users/{ONE}"),
            json!({"email": "Old@Example.com"}),
        )
        .await;
    assert_eq!(
        (reply.status, &reply.body["email"]),
        (200, &json!("old@example.com"))
    );
    let mut second = Browser::of(&server);
    assert_eq!(second.signs_in().await.status, 303);
    assert_ne!(second.me().await["id"], old);
    // a session is of the user and not of the address
    assert_eq!(first.me().await["email"], "old@example.com");
    // the same person under another subject
    issuer.says(|says| says.claims = json!({"sub": "subject-3"}));
    assert_eq!(Browser::of(&server).signs_in().await.status, 401);
    let reply = admin.delete(&format!("/api/users/{ONE}/identities")).await;
    assert_eq!(
        (reply.status, &reply.body["issuers"]),
        (200, &json!([])),
        "{reply:?}"
    );
    let mut third = Browser::of(&server);
    assert_eq!(third.signs_in().await.status, 303);
    assert_eq!(third.me().await["id"], second.me().await["id"]);
    assert_eq!(admin.audit("user.email_changed").await.len(), 1);
    assert_eq!(admin.audit("user.identity_unlinked").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_issuer_did_not_sign_for_this_client_and_this_flow_signs_nobody_in() {
    let (place, issuer) = (Place::new(), Issuer::start().await);
    let (server, _, admin) = served(&place, &issuer, None).await;
    for claims in [
        json!({"aud": "another-client"}),
        json!({"iss": "https://evil.example.net"}),
        json!({"nonce": "another"}),
        json!({"nonce": null}),
        json!({"exp": 1_700_000_000}),
        json!({"iat": 1_700_000_000}),
        json!({"azp": "another-client"}),
        json!({"email": null}),
        json!({"email": "no address"}),
        json!({"email_verified": false}),
        json!({"email_verified": null}),
        json!({"email": "scheduler@system.local"}),
    ] {
        issuer.says(|says| says.claims = claims.clone());
        let page = Browser::of(&server).signs_in().await;
        assert_eq!(page.status, 401, "{claims}: {}", page.text);
        assert!(page.text.contains("role=\"alert\""), "{claims}");
    }
    issuer.says(|says| {
        says.claims = json!({});
        says.another_key = true;
    });
    assert_eq!(Browser::of(&server).signs_in().await.status, 401);
    issuer.says(|says| {
        says.another_key = false;
        says.unsigned = true;
    });
    let page = Browser::of(&server).signs_in().await;
    assert!(
        [401, 502].contains(&page.status.as_u16()),
        "{}",
        page.status
    );
    issuer.says(|says| says.unsigned = false);
    assert!(admin.audit("user.created").await.is_empty());
    assert!(!admin.audit("auth.failed").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_browser_that_was_sent_comes_back_and_only_once() {
    let (place, issuer) = (Place::new(), Issuer::start().await);
    let (server, _, _) = served(&place, &issuer, None).await;
    let mut one = Browser::of(&server);
    let back = one.sent_back().await;
    // somebody else is made to follow it: they must not be signed in as one of us
    let mut other = Browser::of(&server);
    assert_eq!(other.get(&back).await.status, 401);
    other.sent_back().await;
    assert_eq!(other.get(&back).await.status, 401);
    assert_eq!(other.get("/api/me").await.status, 401);
    let kept = one.cookies.clone();
    assert_eq!(one.get(&back).await.status, 303);
    // again, with the cookie that is gone by now
    one.cookies = kept;
    assert_eq!(one.get(&back).await.status, 401);
    // a person who says no over there, and a state with nothing else
    let mut third = Browser::of(&server);
    let back = third.sent_back().await;
    let no = back.split("&code=").next().unwrap().to_owned() + "&error=access_denied";
    assert_eq!(third.get(&no).await.status, 401);
    for wrong in [
        "/auth/oidc/callback",
        "/auth/oidc/callback?code=x",
        "/auth/oidc/callback?state=x&code=y",
    ] {
        assert_eq!(third.get(wrong).await.status, 401, "{wrong}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_of_a_claim_are_roles_here_as_of_the_last_sign_in() {
    let (place, issuer) = (Place::new(), Issuer::start().await);
    let (server, _, admin) = served(&place, &issuer, Some("claim:groups")).await;
    mapped(&admin, "auditors@example.com", "auditor").await;
    mapped(&admin, "ops@example.com", "job_operator").await;
    let both = json!({"groups": ["auditors@example.com", "ops@example.com", "unmapped@example.com", "Admin"]});
    issuer.says(|says| says.claims = both);
    let mut browser = Browser::of(&server);
    assert_eq!(browser.signs_in().await.status, 303);
    let me = browser.me().await;
    assert_eq!(me["roles"], json!(["auditor", "job_operator"]));
    // a group of ours is not one of theirs by its name
    assert_eq!(me["admin"], false);
    issuer.says(|says| says.claims = json!({"groups": ["ops@example.com"]}));
    assert_eq!(Browser::of(&server).signs_in().await.status, 303);
    // of all sessions, the older one too
    assert_eq!(browser.me().await["roles"], json!(["job_operator"]));
    // more than fits: not known, so nobody is signed in with what was before
    issuer.says(|says| says.claims = json!({"_claim_names": {"groups": "src1"}}));
    assert_eq!(Browser::of(&server).signs_in().await.status, 502);
    assert!(
        server.log().contains("the claim groups"),
        "{}",
        server.log()
    );
    issuer.says(|says| says.claims = json!({}));
    assert_eq!(Browser::of(&server).signs_in().await.status, 303);
    assert_eq!(browser.me().await["roles"], json!([]));
    let removed = admin.audit("group.member_removed").await;
    assert_eq!(removed.len(), 2);
    assert_eq!(removed[0]["metadata"]["by"], "outside directory");
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_at_google_are_searched_for_with_all_their_pages_and_a_failure_is_not_none() {
    let (place, issuer) = (Place::new(), Issuer::start().await);
    let (server, _, admin) = served(&place, &issuer, Some("google-cloud-identity")).await;
    mapped(&admin, "auditors@example.com", "auditor").await;
    mapped(&admin, "ops@example.com", "job_operator").await;
    let page = |id: &str| vec![id.to_owned()];
    issuer
        .says(|says| says.groups = Ok(vec![page("auditors@example.com"), page("ops@example.com")]));
    let mut browser = Browser::of(&server);
    assert_eq!(browser.signs_in().await.status, 303, "{}", server.log());
    assert_eq!(
        browser.me().await["roles"],
        json!(["auditor", "job_operator"])
    );
    let searches = issuer.searches();
    assert_eq!(searches.len(), 2);
    assert!(searches[0].starts_with("member_key_id == 'One@Example.com' && 'cloudidentity.googleapis.com/groups.discussion_forum' in labels"), "{searches:?}");
    for status in [403, 500] {
        issuer.says(|says| says.groups = Err(status));
        let refused = Browser::of(&server).signs_in().await;
        assert_eq!(refused.status, 502);
        assert!(
            server
                .log()
                .contains(&format!("the search for groups: HTTP {status}"))
        );
    }
    assert_eq!(
        browser.me().await["roles"],
        json!(["auditor", "job_operator"])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_away_is_told_to_the_operator_and_comes_back_by_itself() {
    let (place, issuer) = (Place::new(), Issuer::start().await);
    let (server, _, admin) = started_with(&place, |command| {
        command
            .env("OIDC_ISSUER", "http://127.0.0.1:1")
            .env("OIDC_CLIENT_ID", CLIENT);
    })
    .await;
    let page = Browser::of(&server).get("/auth/oidc/login").await;
    let health = admin.get("/api/health/detailed").await;
    assert_eq!(health.body["services"]["oidc"]["status"], "degraded");
    assert_eq!(page.status, 502);
    assert!(page.text.contains("cannot be asked now"), "{}", page.text);
    assert!(
        server.log().contains("oidc: http://127.0.0.1:1"),
        "{}",
        server.log()
    );
    drop(issuer);
    let none = Place::new();
    let (server, _, _) = started_with(&none, |_| {}).await;
    let page = Browser::of(&server).get("/auth/oidc/login").await;
    assert_eq!(page.status, 404);
    assert!(
        !Browser::of(&server)
            .get("/login")
            .await
            .text
            .contains("/auth/oidc/login")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn people_do_not_queue_for_a_provider_that_hangs() {
    let hanging = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = hanging.local_addr().unwrap();
    let place = Place::new();
    let (server, _, _) = started_with(&place, |command| {
        command
            .env("OIDC_ISSUER", format!("http://{address}"))
            .env("OIDC_CLIENT_ID", CLIENT);
    })
    .await;
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let mut browser = Browser::of(&server);
        all.spawn(async move { browser.get("/auth/oidc/login").await.status });
    }
    // one behind the other it would be a minute
    let ended = tokio::time::timeout(std::time::Duration::from_secs(25), all.join_all()).await;
    assert!(ended.unwrap().iter().all(|status| *status == 502));
    drop(hanging);
}
