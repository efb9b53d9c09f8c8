//! The three steps of the state machine. Each calls a step of `core` with its adapters.

#[cfg(feature = "glue")]
pub mod catalog;
#[cfg(feature = "portal")]
pub mod page_fetch;
#[cfg(feature = "portal")]
pub mod planner;

use std::fmt;

use rollcall_core::error::chain;

use crate::settings::BadSetting;

/// Why a function cannot start.
#[derive(thiserror::Error)]
pub enum StartError {
    /// An environment variable is missing or invalid.
    #[error(transparent)]
    Setting(#[from] BadSetting),
    /// The portal client cannot be set up.
    #[cfg(feature = "portal")]
    #[error("set up portal client")]
    Portal(#[from] rollcall_adapters::http_portal::BadOrigin),
}

/// Prints the message with its causes, because an error returned from `main` is printed in its `Debug` format.
impl fmt::Debug for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&chain(self))
    }
}

/// Reads the portal's settings from the environment, with at most `in_flight` requests in flight.
#[cfg(feature = "portal")]
fn portal_settings(
    in_flight: usize,
    roots: Option<&crate::certificates::Roots>,
) -> Result<rollcall_adapters::http_portal::PortalSettings, StartError> {
    use rollcall_adapters::http_portal::{LIVE_ORIGIN, PortalSettings, parse_origin, without_userinfo};
    let configured = crate::settings::optional(crate::settings::PORTAL);
    let origin = parse_origin(configured.as_deref().unwrap_or(LIVE_ORIGIN)).map_err(|_| {
        let found = configured.as_deref().map(without_userinfo);
        BadSetting::new(crate::settings::PORTAL, "scheme, host and optional port of the portal", found.as_deref())
    })?;
    let mut settings = PortalSettings::new(origin);
    settings.in_flight = in_flight;
    settings.roots = roots.map(|roots| roots.certificates().collect());
    Ok(settings)
}
