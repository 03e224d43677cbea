//! Version 1 of the body: templates, and no head yet.

use serde::Deserialize;

use super::PersonId;

#[derive(Deserialize)]
struct Person {
    id: PersonId,
    name: String,
    templates: Vec<Vec<f32>>,
}

#[derive(Deserialize)]
struct Gallery {
    embedder_sha256: String,
    next: u32,
    people: Vec<Person>,
}

pub fn read(body: &[u8]) -> Result<super::Gallery, postcard::Error> {
    let old: Gallery = super::whole(body)?;
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
        strangers: Vec::new(),
        operating: None,
        tuned: None,
        stale: true,
    })
}
