//! The pages of somebody who is not signed in.
//!
//! Always true: a page that a link in a mail opens holds no secret: the browser keeps what stands behind the `#`, and only the
//! form's button sends it.
//!
//! Does not: tell whether an account exists.

use maud::{Markup, html};

use super::{alert, layout};

/// What the sign-in page offers.
#[derive(Debug, Default)]
pub(crate) struct Login<'a> {
    /// What went wrong with the last try.
    pub(crate) failed: Option<&'a str>,
    /// As it was typed, to be corrected.
    pub(crate) email: &'a str,
    /// Links can be mailed.
    pub(crate) mail: bool,
    /// There is an OpenID provider.
    pub(crate) oidc: bool,
}

/// `/login`.
pub(crate) fn login(page: &Login<'_>) -> Markup {
    layout(
        "Sign in",
        None,
        &html! {
            h1 { "Sign in" }
            (alert(page.failed))
            @if page.oidc {
                p { a.button href="/auth/oidc/login" { "Sign in with your organisation" } }
            }
            form.card method="post" action="/login" {
                label for="email" { "E-mail address" }
                input id="email" name="email" type="email" autocomplete="username" required maxlength="254" value=(page.email) autofocus;
                label for="password" { "Password" }
                input id="password" name="password" type="password" autocomplete="current-password" required maxlength="128";
                button type="submit" { "Sign in" }
            }
            @if page.mail {
                form.card method="post" action="/login/mail" {
                    h2 { "Without the password" }
                    label for="mail-email" { "E-mail address" }
                    input id="mail-email" name="email" type="email" autocomplete="username" required maxlength="254" value=(page.email);
                    div.row {
                        button type="submit" name="purpose" value="sign_in" { "Mail me a sign-in link" }
                        button.quiet type="submit" name="purpose" value="reset" { "Mail me a link for a new password" }
                    }
                }
            }
        },
    )
}

/// After a link was asked for: the same whatever the address was.
pub(crate) fn mailed() -> Markup {
    layout(
        "A mail is on its way",
        None,
        &html! {
            h1 { "A mail is on its way" }
            p role="status" { "If there is an account with this address, a mail with a link comes within a few minutes. The link works once, for 15 minutes." }
            p { a href="/login" { "Back to signing in" } }
        },
    )
}

/// What stands in a link that was mailed.
fn token() -> Markup {
    html! {
        label for="token" { "Code" }
        input id="token" name="token" type="text" autocomplete="off" spellcheck="false" required maxlength="200" data-from-fragment="token" aria-describedby="token-help";
        p.help id="token-help" { "It stands in the link behind " code { "token=" } ", and is filled in by itself where scripts run." }
    }
}

/// What a sign-in link opens.
pub(crate) fn use_link(failed: Option<&str>) -> Markup {
    layout(
        "Sign in",
        None,
        &html! {
            h1 { "Sign in" }
            (alert(failed))
            form.card method="post" action="/login/link" {
                (token())
                button type="submit" { "Sign in" }
            }
            p { a href="/login" { "Another way to sign in" } }
        },
    )
}

/// What a link for a new password opens.
pub(crate) fn new_password(failed: Option<&str>) -> Markup {
    layout(
        "A new password",
        None,
        &html! {
            h1 { "A new password" }
            (alert(failed))
            form.card method="post" action="/login/password" {
                (token())
                label for="password" { "New password" }
                input id="password" name="password" type="password" autocomplete="new-password" required minlength="12" maxlength="128" aria-describedby="password-help";
                p.help id="password-help" { "12 to 128 characters. Every session ends; personal tokens stay." }
                button type="submit" { "Set the password" }
            }
        },
    )
}

/// After it was set.
pub(crate) fn password_is_set() -> Markup {
    layout(
        "The password is set",
        None,
        &html! {
            h1 { "The password is set" }
            p role="status" { "Sign in with it." }
            p { a.button href="/login" { "Sign in" } }
        },
    )
}
