//! Where core meets the world: the traits that adapters implement. Nothing else is a trait.

pub mod catalog;
pub mod cause;
pub mod clock;
pub mod portal;
pub mod store;

pub use catalog::{Catalog, CatalogError, CatalogPartition, TableSpec};
pub use cause::BoxError;
pub use clock::Clock;
pub use portal::{PageRequest, Portal, PortalError, Reading, Response};
pub use store::{Condition, Content, Listed, ObjectFacts, Put, Store, StoreError};
