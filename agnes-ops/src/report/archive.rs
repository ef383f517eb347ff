//! A tar in gzip: what any ticket system takes, and any reader opens.
//!
//! Always true: everything is below one directory, 0600, and nobody's.
//!
//! Does not: touch the disk.

use anyhow::Result;
use flate2::Compression;
use flate2::write::GzEncoder;

/// The archive's bytes.
pub(super) fn pack(top: &str, texts: &[(String, String)], at_secs: i64) -> Result<Vec<u8>> {
    let gzip = GzEncoder::new(Vec::new(), Compression::default());
    let mut archive = tar::Builder::new(gzip);
    for (name, text) in texts {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o600);
        header.set_mtime(u64::try_from(at_secs).unwrap_or_default());
        archive.append_data(&mut header, format!("{top}/{name}"), text.as_bytes())?;
    }
    Ok(archive.into_inner()?.finish()?)
}
