//! What an `Authorization` header shows.
//!
//! Always true: any bytes are taken or refused; what is taken is never empty and has no white space around it.
//!
//! Does not: judge it.

/// The bytes behind `Bearer `; the scheme in any case.
pub(crate) fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = value.split_at_checked("Bearer ".len())?;
    scheme
        .eq_ignore_ascii_case(b"Bearer ")
        .then(|| rest.trim_ascii())
        .filter(|secret| !secret.is_empty())
}

#[cfg(test)]
mod tests {
    use super::bearer;

    #[test]
    fn a02_any_bytes_behind_bearer_are_taken_or_refused_never_a_panic() {
        assert_eq!(bearer(b"Bearer abc"), Some(&b"abc"[..]));
        assert_eq!(bearer(b"bearer  abc "), Some(&b"abc"[..]));
        assert_eq!(bearer(b"Bearer \xff\xfe"), Some(&b"\xff\xfe"[..]));
        for nothing in [
            &b""[..],
            b"Bearer",
            b"Bearer ",
            b"Bearer   ",
            b"Basic abc",
            b"\xff",
        ] {
            assert_eq!(bearer(nothing), None, "{nothing:?}");
        }
    }
}
