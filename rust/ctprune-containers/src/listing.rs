//! Names of all that a container holds, without its contents.

use super::open::Container;
use super::pass::{ItemContent, Pass, Want};
use super::promised_kind;
use super::read_by_name;
use ctprune_dicom::slice::ReadOptions;
use std::sync::Arc;
use std::time::Duration;

/// How long a pass is waited for at a time.
const LOOK: Duration = Duration::from_millis(200);

/// Names of a container's members, and of those of containers in it; of what cannot be read, as far as it can.
pub fn names_of(container: &Arc<Container>, options: &ReadOptions) -> Vec<String> {
    let mut names = Vec::new();
    let is_nested = container.is_nested();
    let mut add = |name: String, content: Option<Vec<u8>>| {
        let nested = content.and_then(|bytes| Container::of_memory(bytes, &name).ok());
        if let Some(nested) = nested {
            let inner = names_of(&Arc::new(nested), options);
            names.extend(inner.into_iter().map(|inner| format!("{name}!/{inner}")));
        }
        names.push(name);
    };
    let may_hold = move |name: &str| !is_nested && promised_kind(name).is_some();
    if let Some(index) = container.index() {
        for member in index.members() {
            let name = &member.name;
            let content = may_hold(name).then(|| read_by_name(container, name, options).ok());
            add(name.clone(), content.flatten());
        }
        return names;
    }
    let want = move |name: &str, _| if may_hold(name) { Want::Read } else { Want::Leave };
    let mut pass = Pass::start(Arc::clone(container), options.clone(), want);
    loop {
        let batch = pass.next_batch(LOOK, usize::MAX);
        for item in batch.items {
            let content = match item.content {
                ItemContent::Bytes(held) => Some(held.take()),
                ItemContent::Left | ItemContent::Refused(_) => None,
            };
            add(item.name, content);
        }
        if batch.end.is_some() {
            return names;
        }
    }
}
