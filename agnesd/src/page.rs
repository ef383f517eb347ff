//! What people see in a browser, written by the server.
//!
//! Always true: values in, HTML out, every value escaped where it stands; no script and no style is in a page, so the
//! strictest content policy lets it be used; without the script every page still works. What is said by colour is said in
//! words too.
//!
//! Does not: find anything out, or know who may see what.

use maud::{DOCTYPE, Markup, html};

mod home;
mod login;

pub(crate) use home::{Event, Fact, Home, Job, NewToken, Part, Token};
pub(crate) use login::{Login, login, mailed, new_password, password_is_set, use_link};

/// Where the style is.
const STYLE_PATH: &str = "/assets/agnes.css";
/// Where the script is.
const SCRIPT_PATH: &str = "/assets/agnes.js";
/// Where the sign of a tab is.
const ICON_PATH: &str = "/assets/agnes.svg";
/// The style.
pub(crate) const STYLE: &str = include_str!("page/agnes.css");
/// The script.
pub(crate) const SCRIPT: &str = include_str!("page/agnes.js");
/// The sign of a tab.
pub(crate) const ICON: &str = include_str!("page/agnes.svg");

/// One page. `who` is the address of who is signed in.
fn layout(title: &str, who: Option<&str>, content: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · Agnes" }
                link rel="icon" type="image/svg+xml" href=(ICON_PATH);
                link rel="stylesheet" href=(STYLE_PATH);
                script src=(SCRIPT_PATH) defer {}
            }
            body {
                a.skip href="#main" { "Skip to the content" }
                header {
                    a.name href="/" { "Agnes" }
                    @if let Some(who) = who {
                        div.who {
                            span { "Signed in as " strong { (who) } }
                            form method="post" action="/logout" {
                                button type="submit" { "Sign out" }
                            }
                        }
                    }
                }
                main id="main" tabindex="-1" { (content) }
            }
        }
    }
}

/// What went wrong, where the eye and the screen reader are.
fn alert(text: Option<&str>) -> Markup {
    html! {
        @if let Some(text) = text {
            p.alert role="alert" { (text) }
        }
    }
}
