//! The bytes at many locations, in parallel, with one pass over each container that is read from its start.

use crate::discover::location::Location;
use crate::open::{
    Fetch, Found, LOOK, Opened, find_member, gone, names_of_items, open_location, splits, start_pass,
    with_member,
};
use ctprune_containers::open::Container;
use ctprune_containers::pass::{Item, ItemContent};
use ctprune_dicom::slice::{ReadOptions, Refusal};
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// Members that a pass hands over together, for each thread.
const TOGETHER: usize = 64;

/// Calls `act` with what is at each location, in parallel; members of a container that is read from its start in one
/// pass over it. Results are in the order of the locations; `None` where none was begun since `stopped` said so.
pub fn visit_locations<T: Send, R: Send>(
    locations: Vec<(Location, T)>,
    options: &ReadOptions,
    fetch: Option<&dyn Fetch>,
    stopped: &(dyn Fn() -> bool + Sync),
    act: impl Fn(&Location, T, Opened<'_>) -> R + Sync,
) -> Vec<Option<R>> {
    let mut results: Vec<Option<R>> = Vec::new();
    results.resize_with(locations.len(), || None);
    let (direct, passes) = plan(locations, options);
    let visit = |job: Job<T>| {
        if stopped() {
            return (job.number, None);
        }
        let Job {
            number,
            location,
            what,
        } = job;
        let result = open_location(&location, options, fetch, |opened| act(&location, what, opened));
        (number, Some(result))
    };
    let remote: Vec<String> = direct
        .iter()
        .filter_map(|job| job.location.remote().map(str::to_owned))
        .collect();
    let done: Vec<(usize, Option<R>)> = match fetch.filter(|_| !remote.is_empty()) {
        Some(fetch) => {
            fetch.soon(&remote.iter().map(String::as_str).collect::<Vec<_>>());
            // One after the other, as they are fetched: rayon would begin at several of them.
            direct.into_iter().par_bridge().map(visit).collect()
        }
        None => direct.into_par_iter().map(visit).collect(),
    };
    done.into_iter()
        .for_each(|(number, result)| results[number] = result);
    for (container, jobs) in passes {
        let act = |job: Job<T>, opened: Opened<'_>| (job.number, act(&job.location, job.what, opened));
        for (number, result) in visit_pass(container, jobs, options, stopped, &act) {
            results[number] = Some(result);
        }
    }
    results
}

/// A location to visit.
struct Job<T> {
    number: usize,
    location: Location,
    what: T,
}

/// Jobs of a container by the names of their members in it.
type OfPass<T> = BTreeMap<String, Job<T>>;

/// A container, and what is to be read of it.
type PassJobs<T> = (Arc<Container>, OfPass<T>);

/// Which locations are opened one by one, and which in passes. Each location is there once.
fn plan<T>(locations: Vec<(Location, T)>, options: &ReadOptions) -> (Vec<Job<T>>, Vec<PassJobs<T>>) {
    let mut direct = Vec::new();
    let mut passes: BTreeMap<(PathBuf, String), PassJobs<T>> = BTreeMap::new();
    let mut indexed: Option<PathBuf> = None;
    for (number, (location, what)) in locations.into_iter().enumerate() {
        let job = Job {
            number,
            location,
            what,
        };
        let Location::Member { container, member } = &job.location else {
            direct.push(job);
            continue;
        };
        let is_nested = splits(member).next().is_some();
        if !is_nested && indexed.as_ref() == Some(container) {
            direct.push(job);
            continue;
        }
        match find_member(container, member, options) {
            Ok(Found::InPass(opened, name)) => {
                let outer = member.strip_suffix(&name).unwrap_or_default().to_owned();
                let of_pass = passes.entry((container.clone(), outer));
                of_pass
                    .or_insert_with(|| (opened, BTreeMap::new()))
                    .1
                    .insert(name, job);
            }
            _ => {
                if !is_nested {
                    indexed = Some(container.clone());
                }
                direct.push(job);
            }
        }
    }
    (direct, passes.into_values().collect())
}

/// One pass over a container for some of its members; `act` gets each of them, in parallel.
fn visit_pass<T: Send, R: Send>(
    container: Arc<Container>,
    mut wanted: OfPass<T>,
    options: &ReadOptions,
    stopped: &(dyn Fn() -> bool + Sync),
    act: &(impl Fn(Job<T>, Opened<'_>) -> R + Sync),
) -> Vec<R> {
    let names = wanted.keys().flat_map(|name| names_of_items(name)).collect();
    let mut pass = start_pass(container, options, names);
    let most = TOGETHER * rayon::current_num_threads();
    let mut results = Vec::new();
    while !wanted.is_empty() && !stopped() {
        let batch = pass.next_batch(LOOK, most);
        let found: Vec<(Item, OfPass<T>)> = batch
            .items
            .into_iter()
            .map(|item| {
                let jobs = take_jobs(&mut wanted, &item.name);
                (item, jobs)
            })
            .filter(|(_, jobs)| !jobs.is_empty())
            .collect();
        let of_item = |(item, jobs)| visit_item(item, jobs, options, stopped, act);
        let done: Vec<Vec<R>> = found.into_par_iter().with_max_len(1).map(of_item).collect();
        results.extend(done.into_iter().flatten());
        if let Some(end) = batch.end {
            let refusal = end.map_or_else(gone, |fault| Refusal::Failed(fault.error));
            let missing = std::mem::take(&mut wanted).into_values();
            results.extend(missing.map(|job| act(job, Opened::Refused(refusal.clone()))));
        }
    }
    results
}

/// The jobs of a member, and of members in it, by the rest of their names; an empty rest means the member itself.
fn take_jobs<T>(wanted: &mut OfPass<T>, name: &str) -> OfPass<T> {
    let mut jobs = OfPass::new();
    if let Some(job) = wanted.remove(name) {
        jobs.insert(String::new(), job);
    }
    let prefix = format!("{name}!/");
    let inner = wanted.range(prefix.clone()..);
    let inner: Vec<String> = inner
        .map(|(name, _)| name)
        .take_while(|name| name.starts_with(&prefix))
        .cloned()
        .collect();
    for name in inner {
        if let Some(job) = wanted.remove(&name) {
            jobs.insert(name[prefix.len()..].to_owned(), job);
        }
    }
    jobs
}

fn visit_item<T: Send, R: Send>(
    item: Item,
    mut jobs: OfPass<T>,
    options: &ReadOptions,
    stopped: &(dyn Fn() -> bool + Sync),
    act: &(impl Fn(Job<T>, Opened<'_>) -> R + Sync),
) -> Vec<R> {
    let mut results = Vec::new();
    let refuse = |jobs: OfPass<T>, refusal: &Refusal| {
        let refused = jobs
            .into_values()
            .map(|job| act(job, Opened::Refused(refusal.clone())));
        refused.collect::<Vec<R>>()
    };
    let held = match item.content {
        ItemContent::Bytes(held) => held,
        ItemContent::Refused(refusal) => return refuse(jobs, &refusal),
        ItemContent::Left => return refuse(jobs, &gone()),
    };
    if let Some(job) = jobs.remove("") {
        results.push(act(job, Opened::Bytes(&held)));
    }
    if jobs.is_empty() {
        return results;
    }
    match Container::of_memory(held.take(), &item.name) {
        Err(refusal) => results.extend(refuse(jobs, &refusal)),
        Ok(nested) => match nested.index() {
            None => results.extend(visit_pass(Arc::new(nested), jobs, options, stopped, act)),
            Some(index) => {
                for (name, job) in jobs {
                    results.push(match index.find(&name) {
                        Some(member) => with_member(&nested, member, options, |opened| act(job, opened)),
                        None => act(job, Opened::Refused(gone())),
                    });
                }
            }
        },
    }
    results
}
