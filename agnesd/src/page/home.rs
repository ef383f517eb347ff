//! The page of somebody who is signed in.
//!
//! Always true: a part that its reader may not see is not there at all; a token is shown once, on the page that made it.
//!
//! Does not: format what it is given but for its place.

use maud::{Markup, html};

use super::{alert, layout};

/// One line of a part.
#[derive(Debug)]
pub(crate) struct Fact {
    pub(crate) name: &'static str,
    pub(crate) value: String,
}

/// One part of the server.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) name: &'static str,
    /// `ok`, `off`, `degraded`, `unavailable`.
    pub(crate) status: &'static str,
    pub(crate) facts: Vec<Fact>,
}

/// One job.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) name: String,
    pub(crate) schedule: String,
    pub(crate) last: String,
    pub(crate) outcome: String,
    pub(crate) next: String,
}

/// One row of the audit log.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) at: String,
    pub(crate) actor: String,
    pub(crate) action: String,
    pub(crate) resource: String,
    pub(crate) outcome: String,
}

/// One token of the reader's.
#[derive(Debug)]
pub(crate) struct Token {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) scopes: String,
    pub(crate) expires: String,
    pub(crate) last_used: String,
    pub(crate) works: bool,
}

/// A token that was just made.
#[derive(Debug)]
pub(crate) struct NewToken {
    pub(crate) name: String,
    pub(crate) secret: String,
}

/// Everything on it.
#[derive(Debug)]
pub(crate) struct Home {
    pub(crate) who: String,
    pub(crate) parts: Vec<Part>,
    /// `None`: not for this reader.
    pub(crate) jobs: Option<Vec<Job>>,
    /// `None`: not for this reader.
    pub(crate) events: Option<Vec<Event>>,
    pub(crate) tokens: Vec<Token>,
    pub(crate) new_token: Option<NewToken>,
    pub(crate) failed: Option<String>,
}

impl Home {
    /// `/`.
    pub(crate) fn html(&self) -> Markup {
        layout(
            "Overview",
            Some(&self.who),
            &html! {
                h1 { "Overview" }
                (alert(self.failed.as_deref()))
                p.live id="live" role="status" aria-live="polite" data-events="/api/events" { "As of when the page was loaded." }
                div.parts { @for part in &self.parts { (show_part(part)) } }
                (tokens(&self.tokens, self.new_token.as_ref()))
                @if let Some(jobs) = &self.jobs { (show_jobs(jobs)) }
                @if let Some(events) = &self.events { (show_events(events)) }
            },
        )
    }
}

fn status(word: &str) -> Markup {
    html! { span class={ "status " (word) } { (word) } }
}

fn show_part(part: &Part) -> Markup {
    let id = format!("part-{}", part.name.to_lowercase().replace(' ', "-"));
    html! {
        section.card aria-labelledby=(id) {
            h2 id=(id) { (part.name) " " (status(part.status)) }
            dl {
                @for fact in &part.facts {
                    div { dt { (fact.name) } dd { (fact.value) } }
                }
            }
        }
    }
}

fn tokens(tokens: &[Token], new: Option<&NewToken>) -> Markup {
    html! {
        section aria-labelledby="tokens" {
            h2 id="tokens" { "Your tokens" }
            @if let Some(new) = new {
                div.card.new role="status" {
                    p { "The token " strong { (new.name) } " was made. It is shown this once:" }
                    p { code id="new-token" { (new.secret) } }
                }
            }
            div.scroll tabindex="0" role="group" aria-labelledby="tokens" {
                table {
                    thead { tr {
                        th scope="col" { "Name" } th scope="col" { "Scopes" } th scope="col" { "Until" }
                        th scope="col" { "Last used" } th scope="col" { span.visually-hidden { "Revoke" } }
                    } }
                    tbody {
                        @if tokens.is_empty() { tr { td colspan="5" { "None." } } }
                        @for token in tokens {
                            tr {
                                th scope="row" { (token.name) } td { (token.scopes) } td { (token.expires) }
                                td { (token.last_used) }
                                td {
                                    @if token.works {
                                        form method="post" action={ "/tokens/" (token.id) "/revoke" } {
                                            button.quiet type="submit" aria-label={ "Revoke " (token.name) } { "Revoke" }
                                        }
                                    } @else { "ended" }
                                }
                            }
                        }
                    }
                }
            }
            form.card method="post" action="/tokens" {
                h3 { "A new token" }
                label for="token-name" { "Name" }
                input id="token-name" name="name" type="text" required maxlength="100" autocomplete="off";
                label for="token-scope" { "May" }
                select id="token-scope" name="scope" {
                    option value="read" selected { "read" }
                    option value="write" { "read and write" }
                    option value="admin" { "administer" }
                    option value="" { "all that you may" }
                }
                label for="token-days" { "Days until it ends" }
                input id="token-days" name="days" type="number" min="1" max="366" value="90" required;
                button type="submit" { "Make the token" }
            }
        }
    }
}

fn show_jobs(jobs: &[Job]) -> Markup {
    html! {
        section aria-labelledby="jobs" {
            h2 id="jobs" { "Jobs" }
            div.scroll tabindex="0" role="group" aria-labelledby="jobs" {
                table {
                    thead { tr {
                        th scope="col" { "Name" } th scope="col" { "Schedule" } th scope="col" { "Last run" }
                        th scope="col" { "Outcome" } th scope="col" { "Next run" }
                    } }
                    tbody id="job-rows" {
                        @for job in jobs {
                            tr data-job=(job.name) {
                                th scope="row" { (job.name) } td { (job.schedule) } td data-last { (job.last) }
                                td data-outcome { (job.outcome) } td { (job.next) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn show_events(events: &[Event]) -> Markup {
    html! {
        section aria-labelledby="events" {
            h2 id="events" { "Recent events" }
            div.scroll tabindex="0" role="group" aria-labelledby="events" {
                table {
                    thead { tr {
                        th scope="col" { "When" } th scope="col" { "Who" } th scope="col" { "What" }
                        th scope="col" { "To what" } th scope="col" { "Outcome" }
                    } }
                    tbody id="event-rows" {
                        @for event in events {
                            tr {
                                td { (event.at) } td { (event.actor) } th scope="row" { (event.action) }
                                td { (event.resource) } td { (event.outcome) }
                            }
                        }
                    }
                }
            }
        }
    }
}
