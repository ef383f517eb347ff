//! A browser's session: its cookie, what it opens, and what another site's page cannot do with it.

use std::process::Command;

use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use reqwest::redirect::Policy;
use reqwest::{Client, Method};

use super::client::{ADMIN, PASSWORD, member, started, started_with};
use crate::server::{Place, Server};

const OURS: (&str, &str) = ("sec-fetch-site", "same-origin");

/// As much of a browser as a form needs.
struct Browser {
    client: Client,
    base: String,
    cookie: Option<String>,
}

struct Page {
    status: u16,
    text: String,
    location: Option<String>,
    set: Option<String>,
}

impl Browser {
    fn of(server: &Server) -> Self {
        let client = Client::builder().no_proxy().redirect(Policy::none());
        Self {
            client: client.build().unwrap(),
            base: format!("http://{}", server.http),
            cookie: None,
        }
    }

    async fn send(
        &mut self,
        method: Method,
        path: &str,
        form: Option<&[(&str, &str)]>,
        headers: &[(&str, &str)],
    ) -> Page {
        let mut request = self.client.request(method, format!("{}{path}", self.base));
        if let Some(cookie) = &self.cookie {
            request = request.header(COOKIE, cookie);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(form) = form {
            let mut body = url::form_urlencoded::Serializer::new(String::new());
            body.extend_pairs(form);
            request = request
                .header("content-type", "application/x-www-form-urlencoded")
                .body(body.finish());
        }
        let response = request.send().await.unwrap();
        let header = |name| {
            let value = response.headers().get(name);
            value.map(|value| value.to_str().unwrap().to_owned())
        };
        let (location, set) = (header(LOCATION), header(SET_COOKIE));
        if let Some(set) = &set {
            let pair = set.split(';').next().unwrap();
            self.cookie = Some(pair.to_owned()).filter(|pair| !pair.ends_with('='));
        }
        Page {
            status: response.status().as_u16(),
            location,
            set,
            text: response.text().await.unwrap(),
        }
    }

    async fn get(&mut self, path: &str) -> Page {
        self.send(Method::GET, path, None, &[]).await
    }

    async fn form(&mut self, path: &str, form: &[(&str, &str)]) -> Page {
        self.send(Method::POST, path, Some(form), &[OURS]).await
    }

    async fn signs_in(&mut self, email: &str) -> Page {
        let page = self
            .form("/login", &[("email", email), ("password", PASSWORD)])
            .await;
        assert_eq!(
            (page.status, page.location.as_deref()),
            (303, Some("/")),
            "{}",
            page.text
        );
        page
    }
}

fn public(url: &'static str) -> impl FnOnce(&mut Command) {
    move |command| {
        command.env("PUBLIC_URL", url);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_signs_in_makes_a_token_and_signs_out() {
    let place = Place::new();
    let (server, anyone, admin) = started(&place).await;
    let mut browser = Browser::of(&server);
    let page = browser.get("/").await;
    assert_eq!(
        (page.status, page.location.as_deref()),
        (303, Some("/login"))
    );
    let page = browser.get("/login").await;
    assert_eq!(page.status, 200);
    assert!(
        !page.text.contains("<script>") && !page.text.contains("style="),
        "{}",
        page.text
    );
    let page = browser
        .form(
            "/login",
            &[("email", ADMIN), ("password", "wrong <b>password</b>")],
        )
        .await;
    assert_eq!(page.status, 401);
    assert!(
        page.text.contains("role=\"alert\"") && page.set.is_none(),
        "{}",
        page.text
    );
    let page = browser.signs_in(ADMIN).await;
    let set = page.set.unwrap();
    // plain HTTP, and nothing says otherwise
    assert!(set.starts_with("agnes_session="), "{set}");
    for part in [
        "; Path=/",
        "; HttpOnly",
        "; SameSite=Lax",
        "; Max-Age=43200",
    ] {
        assert!(set.contains(part), "{set}");
    }
    assert!(!set.contains("Secure"));
    let page = browser.get("/").await;
    assert_eq!(page.status, 200);
    for part in [
        "Release",
        "Certificate",
        "Store",
        "Last snapshot",
        "Jobs",
        "Recent events",
        "Your tokens",
        ADMIN,
    ] {
        assert!(page.text.contains(part), "{part}: {}", page.text);
    }
    let page = browser
        .form(
            "/tokens",
            &[("name", "<i>ci</i>"), ("scope", "read"), ("days", "7")],
        )
        .await;
    assert_eq!(page.status, 201);
    assert!(
        page.text.contains("&lt;i&gt;ci&lt;/i&gt;") && !page.text.contains("<i>"),
        "{}",
        page.text
    );
    let (_, rest) = page.text.split_once("<code id=\"new-token\">").unwrap();
    let (token, _) = rest.split_once('<').unwrap();
    let me = anyone.bearing(token).get("/api/me").await;
    assert_eq!(me.status, 200);
    assert_eq!(me.body["scopes"], serde_json::json!(["read"]));
    assert!(!browser.get("/").await.text.contains(token));
    let page = browser
        .form(
            "/tokens",
            &[("name", ""), ("scope", "everything"), ("days", "7")],
        )
        .await;
    assert_eq!(page.status, 422);
    assert!(page.text.contains("role=\"alert\""));
    let tokens = admin.get("/auth/tokens").await;
    let id = tokens.items()[0]["id"].as_str().unwrap().to_owned();
    let page = browser.form(&format!("/tokens/{id}/revoke"), &[]).await;
    assert_eq!(page.status, 303);
    assert_eq!(anyone.bearing(token).get("/api/me").await.status, 401);
    assert_eq!(browser.form("/tokens/nobody/revoke", &[]).await.status, 303);
    let kept = browser.cookie.clone();
    let page = browser.form("/logout", &[]).await;
    assert_eq!(
        (page.status, page.location.as_deref()),
        (303, Some("/login"))
    );
    assert!(page.set.unwrap().contains("Max-Age=0"));
    // the session has ended, not only the cookie
    browser.cookie = kept;
    assert_eq!(browser.get("/").await.status, 303);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_changes_nothing_for_another_sites_page() {
    let place = Place::new();
    let (server, _, admin) = started_with(&place, public("https://agnes.example.com")).await;
    let mut browser = Browser::of(&server);
    let set = browser.signs_in(ADMIN).await.set.unwrap();
    // behind TLS: for this host alone
    assert!(
        set.starts_with("__Host-agnes_session=") && set.contains("; Secure"),
        "{set}"
    );
    let host = format!("http://{}", server.http);
    type Said<'a> = &'a [(&'a str, &'a str)];
    let cases: [(Said<'_>, u16); 9] = [
        (&[("sec-fetch-site", "cross-site")], 403),
        (&[("sec-fetch-site", "same-site")], 403),
        (&[("origin", "https://evil.example.net")], 403),
        (&[("origin", "null")], 403),
        (
            &[
                ("sec-fetch-site", "cross-site"),
                ("origin", "https://agnes.example.com"),
            ],
            403,
        ),
        (&[], 403),
        (&[("sec-fetch-site", "same-origin")], 201),
        (&[("origin", "https://agnes.example.com")], 201),
        (&[("origin", &host)], 201),
    ];
    for (headers, want) in cases {
        let form = [("name", "x"), ("scope", "read"), ("days", "1")];
        let page = browser
            .send(Method::POST, "/tokens", Some(&form), headers)
            .await;
        assert_eq!(page.status, want, "{headers:?}: {}", page.text);
        // the API is no other way in
        let url = format!("{}/auth/tokens", browser.base);
        let mut request = browser
            .client
            .post(url)
            .json(&serde_json::json!({"name": "y"}));
        request = request.header(COOKIE, browser.cookie.as_ref().unwrap());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        assert_eq!(
            request.send().await.unwrap().status().as_u16(),
            want,
            "{headers:?}"
        );
    }
    assert_eq!(admin.get("/auth/tokens").await.items().len(), 6);
    // a bearer token is no browser's
    assert_eq!(
        admin
            .post("/auth/tokens", serde_json::json!({"name": "z"}))
            .await
            .status,
        201
    );
    // nobody is signed in, or out, by another site's form
    for path in [
        "/login",
        "/login/link",
        "/login/mail",
        "/login/password",
        "/logout",
    ] {
        let form = [
            ("email", ADMIN),
            ("password", PASSWORD),
            ("token", "x"),
            ("purpose", "reset"),
        ];
        let foreign = [("sec-fetch-site", "cross-site")];
        let page = browser
            .send(Method::POST, path, Some(&form), &foreign)
            .await;
        assert_eq!(page.status, 403, "{path}");
    }
    assert_eq!(browser.get("/").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a08_a_cookie_ends_with_its_session_its_user_and_its_signature() {
    let place = Place::new();
    let (server, anyone, admin) = started(&place).await;
    member(&admin, &anyone, "one@example.com").await;
    let mut browser = Browser::of(&server);
    browser.signs_in("one@example.com").await;
    let page = browser.get("/").await;
    assert_eq!(page.status, 200);
    // a member sees what the API would tell a member
    assert!(
        !page.text.contains("Recent events") && !page.text.contains("Next run"),
        "{}",
        page.text
    );
    let good = browser.cookie.clone().unwrap();
    for wrong in [
        good.replace('1', "2"),
        good.replace("=", "=x"),
        format!("{good}0"),
    ] {
        browser.cookie = Some(wrong.clone());
        assert_eq!(browser.get("/").await.status, 303, "{wrong}");
        assert_eq!(browser.get("/api/me").await.status, 401, "{wrong}");
    }
    browser.cookie = Some(good.clone());
    assert_eq!(browser.get("/api/me").await.status, 200);
    let reply = admin
        .post("/api/users/one@example.com/disable", serde_json::json!({}))
        .await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(browser.get("/").await.status, 303);
    admin
        .post("/api/users/one@example.com/enable", serde_json::json!({}))
        .await;
    assert_eq!(browser.get("/").await.status, 303);
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_trusted_proxy_with_tls_a_cookie_is_secure_and_nobody_else_says_so() {
    let place = Place::new();
    let (server, _, _) = started_with(&place, |command| {
        command.env("TRUSTED_PROXIES", "127.0.0.1");
    })
    .await;
    let mut browser = Browser::of(&server);
    let form = [("email", ADMIN), ("password", PASSWORD)];
    let headers = [OURS, ("x-forwarded-proto", "https")];
    let page = browser
        .send(Method::POST, "/login", Some(&form), &headers)
        .await;
    assert!(page.set.unwrap().contains("; Secure"));
    let place = Place::new();
    let (server, _, _) = started(&place).await;
    let mut browser = Browser::of(&server);
    let page = browser
        .send(Method::POST, "/login", Some(&form), &headers)
        .await;
    assert!(!page.set.unwrap().contains("Secure"));
}

#[tokio::test(flavor = "multi_thread")]
async fn cookies_of_the_previous_session_secret_are_accepted_and_of_no_other() {
    let secrets = [
        "one-session-secret-for-tests-5f2a91c07b",
        "another-session-secret-for-tests-88e1",
    ];
    let with = |current: &'static str, previous: Option<&'static str>| {
        move |command: &mut Command| {
            command.env("SESSION_SECRET", current);
            if let Some(previous) = previous {
                command.env("SESSION_SECRET_PREVIOUS", previous);
            }
        }
    };
    let place = Place::new();
    let (mut server, _, _) = started_with(&place, with(secrets[0], None)).await;
    let mut browser = Browser::of(&server);
    browser.signs_in(ADMIN).await;
    let cookie = browser.cookie.clone();
    for (current, previous, want) in [
        (secrets[0], None, 200),
        (secrets[1], Some(secrets[0]), 200),
        (secrets[1], None, 303),
    ] {
        assert_eq!(server.stop(), 0);
        server = place.start_with(|command| {
            super::client::usual(command);
            with(current, previous)(command);
        });
        let mut browser = Browser::of(&server);
        browser.cookie = cookie.clone();
        assert_eq!(browser.get("/").await.status, want, "{current}");
    }
}
