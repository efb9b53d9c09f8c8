//! The traits through which core reaches the outside world. Adapters implement them; core has no other traits.

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
