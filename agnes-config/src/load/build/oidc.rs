//! `[oidc]`.
//!
//! Always true: as its parent; half a client is a problem.
//!
//! Does not: ask the provider.

use super::Builder;
use crate::env_keys as keys;
use crate::settings::Oidc;
use crate::values;

impl Builder {
    /// `None`: nobody signs in that way, or what it takes is not known yet.
    pub(super) fn oidc(&mut self) -> Option<Oidc> {
        let issuer = self.take(&keys::OIDC_ISSUER, values::oidc::issuer);
        let client_id = self.take(&keys::OIDC_CLIENT_ID, values::oidc::client_id);
        let groups = self.take(&keys::OIDC_GROUPS, values::oidc::groups);
        let cloud_identity_endpoint = self.endpoint(&keys::CLOUD_IDENTITY_ENDPOINT);
        let client_secret = self.secret(&keys::OIDC_CLIENT_SECRET);
        for (set, missing, is_missing) in [
            (
                &keys::OIDC_ISSUER,
                &keys::OIDC_CLIENT_ID,
                client_id.is_none(),
            ),
            (&keys::OIDC_CLIENT_ID, &keys::OIDC_ISSUER, issuer.is_none()),
        ] {
            if self.is_set(set) && is_missing && !self.is_wrong(missing) {
                self.fault_at(set, missing, format!("is not set, and {} is", set.name()));
            }
        }
        let without = [
            (&keys::OIDC_CLIENT_SECRET, client_secret.is_some()),
            (&keys::OIDC_GROUPS, groups.is_some()),
        ];
        for (key, is_there) in without {
            if is_there && !self.is_set(&keys::OIDC_ISSUER) {
                self.warn(
                    key,
                    "is set, and OIDC_ISSUER is not: nobody signs in that way",
                );
            }
        }
        let (issuer, client_id) = (issuer?, client_id?);
        if !self.is_set(&keys::DOMAIN) && !self.is_set(&keys::PUBLIC_URL) {
            self.warn(
                &keys::OIDC_ISSUER,
                "is set, and neither PUBLIC_URL nor DOMAIN is: people are sent back to localhost",
            );
        }
        if client_secret
            .as_ref()
            .is_some_and(|secret| secret.expose().starts_with("sm://"))
        {
            self.warn(
                &keys::OIDC_CLIENT_SECRET,
                "is a reference that nobody has resolved (`agnes-ops secrets ensure` does)",
            );
            return None;
        }
        Some(Oidc {
            issuer,
            client_id,
            client_secret,
            groups,
            cloud_identity_endpoint,
        })
    }
}
