//! The rows of `[oidc]`: signing in at an outside OpenID provider.
//!
//! Always true: as its parent.
//!
//! Does not: say who may what (group mappings do, which are in the database).

use super::{Key, Kind, SERVER};

/// `OIDC_ISSUER`
pub static OIDC_ISSUER: Key = Key::new(
    Kind::Endpoint,
    SERVER,
    "The OpenID provider at which people sign in, as its documents and tokens name it. Not set: nobody signs in that way.",
)
.env("OIDC_ISSUER")
.toml("oidc.issuer")
.example("https://accounts.example.com");
/// `OIDC_CLIENT_ID`
pub static OIDC_CLIENT_ID: Key = Key::new(
    Kind::ClientId,
    SERVER,
    "What this server is called at `OIDC_ISSUER`, where it is registered with the redirect address `<PUBLIC_URL>/auth/oidc/callback`.",
)
.env("OIDC_CLIENT_ID")
.toml("oidc.client_id")
.example("agnes");
/// `OIDC_CLIENT_SECRET`
pub static OIDC_CLIENT_SECRET: Key = Key::new(
    Kind::Secret,
    SERVER,
    "The secret of `OIDC_CLIENT_ID`. Not set: a public client, which PKCE alone protects.",
)
.env("OIDC_CLIENT_SECRET");
/// `OIDC_GROUPS`
pub static OIDC_GROUPS: Key = Key::new(
    Kind::OidcGroups,
    SERVER,
    "Where it is said which groups somebody is in, read at each sign-in: a claim of the id_token, or a search at Google. Not set: groups stay as administrators set them.",
)
.env("OIDC_GROUPS")
.toml("oidc.groups")
.example("claim:groups");
/// `AGNES_CLOUD_IDENTITY_ENDPOINT`
pub static CLOUD_IDENTITY_ENDPOINT: Key = Key::new(
    Kind::Endpoint,
    SERVER,
    "Cloud Identity's endpoint, for private connectivity and tests. Not set: Google's own.",
)
.env("AGNES_CLOUD_IDENTITY_ENDPOINT")
.toml("oidc.cloud_identity_endpoint")
.example("https://cloudidentity.example.com");
