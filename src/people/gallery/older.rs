//! Older versions of the body: 1 has templates but no head, 2 has no fine-tuning, and 3 has the name of a network's file beside
//! the gallery, which is not loaded.

use serde::Deserialize;

use super::{Operating, PersonId, TunedPerson};

#[derive(Deserialize)]
struct Person {
    id: PersonId,
    name: String,
    templates: Vec<Vec<f32>>,
}

#[derive(Deserialize)]
struct First {
    embedder_sha256: String,
    next: u32,
    people: Vec<Person>,
}

#[derive(Deserialize)]
struct Third {
    embedder_sha256: String,
    next: u32,
    people: Vec<super::Person>,
    strangers: Vec<Vec<f32>>,
    operating: Option<Operating>,
    tuned: Option<Named>,
}

/// A fine-tuned network in a file beside the gallery. The file is named after the checksum.
#[derive(Deserialize)]
struct Named {
    _embedder_sha256: String,
    _people: Vec<TunedPerson>,
    _operating: Operating,
}

pub fn first(body: &[u8]) -> Result<super::Gallery, postcard::Error> {
    let old: First = super::whole(body)?;
    let people = old.people.into_iter().map(|p| super::Person {
        id: p.id,
        name: p.name,
        templates: p.templates,
        views: Vec::new(),
        direction: Vec::new(),
    });
    Ok(super::Gallery {
        embedder_sha256: old.embedder_sha256,
        next: old.next,
        people: people.collect(),
        stale: true,
        ..super::Gallery::default()
    })
}

/// Decodes version 3, and also version 2 if a byte that marks the absence of fine-tuning is appended to it.
pub fn third(body: &[u8]) -> Result<super::Gallery, postcard::Error> {
    let old: Third = super::whole(body)?;
    Ok(super::Gallery {
        embedder_sha256: old.embedder_sha256,
        next: old.next,
        people: old.people,
        // Version 3 did not store which embeddings belong to the same person. The stored head stays until the people change.
        strangers: old.strangers.into_iter().map(|s| vec![s]).collect(),
        operating: old.operating,
        tuned: None,
        stale: false,
        tuned_earlier: old.tuned.is_some(),
    })
}
