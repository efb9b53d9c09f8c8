//! The three steps of the state machine, each a step of core with its adapters.

#[cfg(feature = "glue")]
pub mod catalog;
#[cfg(feature = "portal")]
pub mod page_fetch;
#[cfg(feature = "portal")]
pub mod planner;

use crate::settings::BadSetting;

/// Why a function cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The environment lacks something.
    #[error(transparent)]
    Setting(#[from] BadSetting),
    /// The portal's client cannot be set up.
    #[cfg(feature = "portal")]
    #[error("set up portal")]
    Portal(#[from] rollcall_adapters::portal::BadOrigin),
}

/// The portal as the environment names it, for `in_flight` requests at once.
#[cfg(feature = "portal")]
fn portal_settings(
    in_flight: usize,
    roots: Option<&crate::roots::Roots>,
) -> Result<rollcall_adapters::portal::PortalSettings, StartError> {
    use rollcall_adapters::portal::{LIVE_ORIGIN, PortalSettings, parse_origin};
    let origin = crate::settings::optional(crate::settings::PORTAL);
    let mut settings = PortalSettings::new(parse_origin(origin.as_deref().unwrap_or(LIVE_ORIGIN))?);
    settings.in_flight = in_flight;
    settings.roots = roots.map(|roots| roots.certificates().collect());
    Ok(settings)
}
