//! The order of the rooms: each folder or file of `src` uses only the rooms in its row of the table in ARCHITECTURE.md, and the
//! table has no circle. Readers must judge why a room needs another one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const TABLE: &str = "ARCHITECTURE.md";

/// The rooms by name, each with the names of the rooms that it uses.
type Uses = BTreeMap<String, BTreeSet<String>>;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The rows of the table. `all but a and b` means every room except these.
fn table(text: &str) -> Uses {
    let rows: Vec<Vec<&str>> = text
        .lines()
        .skip_while(|line| !line.starts_with("| room |"))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    let name = |row: &[&str]| row[0].trim_matches('`').to_owned();
    let all: BTreeSet<String> = rows.iter().map(|row| name(row)).collect();
    let uses = |row: &[&str]| -> BTreeSet<String> {
        let words = |list: &str| -> BTreeSet<String> {
            let list = list.replace(" and ", ", ");
            let words = list.split(", ").filter(|word| !word.is_empty());
            words.map(str::to_owned).collect()
        };
        match row[2].strip_prefix("all but ") {
            Some(others) => &(&all - &words(others)) - &BTreeSet::from([name(row)]),
            None => words(row[2]),
        }
    };
    rows.iter().map(|row| (name(row), uses(row))).collect()
}

/// The source files below `folder`, without the files of tests.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if !path.ends_with("tests") {
                sources(&path, found);
            }
        } else if path.extension().is_some_and(|e| e == "rs") && !path.ends_with("tests.rs") {
            found.push(path);
        }
    }
}

/// A file's code, without comments and without its tests.
fn code(text: &str) -> String {
    let mut code = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line == "#[cfg(test)]" {
            // Skips to the module's end, which comes at once if the module is in a file of its own.
            let ends = |line: &&str| *line == "}" || (line.contains("mod ") && line.ends_with(';'));
            lines.by_ref().find(ends);
            continue;
        }
        code += line.split("//").next().unwrap_or_default();
        code.push('\n');
    }
    code
}

/// The rooms that a file's code names after `crate::`, one by one or in braces.
fn named(code: &str) -> BTreeSet<String> {
    let mut rooms = BTreeSet::new();
    let word = |text: &str| -> String {
        let word = text.trim_start().chars();
        word.take_while(|c| c.is_ascii_lowercase() || *c == '_')
            .collect()
    };
    for rest in code.split("crate::").skip(1) {
        let Some(group) = rest.strip_prefix('{') else {
            rooms.insert(word(rest));
            continue;
        };
        let mut depth = 0;
        let mut item = String::new();
        for c in group.chars() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    rooms.insert(word(&item));
                    item.clear();
                    continue;
                }
                _ => {}
            }
            item.push(c);
        }
        rooms.insert(word(&item));
    }
    rooms.remove("");
    rooms
}

/// The rooms that each room of `src` uses, and the file where it uses them.
fn used() -> BTreeMap<(String, String), PathBuf> {
    let src = root().join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    let mut used = BTreeMap::new();
    for path in files {
        let inside = path.strip_prefix(&src).unwrap();
        let room = Path::new(inside.components().next().unwrap().as_os_str());
        let room = room.file_stem().unwrap().to_str().unwrap().to_owned();
        if room == "main" || room == "lib" {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        for other in named(&code(&text)) {
            if other != room {
                used.insert((room.clone(), other), inside.to_owned());
            }
        }
    }
    used
}

/// The mistakes in the table, given the uses in the code.
fn faults(table: &Uses, used: &BTreeMap<(String, String), PathBuf>) -> Vec<String> {
    let mut faults = Vec::new();
    for ((room, other), file) in used {
        match table.get(room) {
            None => faults.push(format!(
                "src/{}: the room {room} has no row in {TABLE}",
                file.display()
            )),
            Some(uses) if !uses.contains(other) => faults.push(format!(
                "src/{}: {room} uses {other}, which its row in {TABLE} does not list: move what is used to a room below",
                file.display()
            )),
            Some(_) => {}
        }
    }
    for (room, uses) in table {
        // The commands may use nearly everything; their row names what they must not.
        let unused = |other: &&String| !used.contains_key(&(room.clone(), (*other).clone()));
        if room != "cli" {
            for other in uses.iter().filter(unused) {
                faults.push(format!(
                    "{TABLE}: {room} does not use {other}: remove it from the row"
                ));
            }
        }
    }
    // Rooms that use no remaining room are taken away, until no room or only a circle is left.
    let mut left: Vec<&String> = table.keys().collect();
    loop {
        let free = |room: &&String| !table[*room].iter().any(|other| left.contains(&other));
        let (low, rest): (Vec<_>, Vec<_>) = left.iter().copied().partition(free);
        left = rest;
        if low.is_empty() {
            break;
        }
    }
    if !left.is_empty() {
        faults.push(format!(
            "{TABLE}: these rooms use one another in a circle: {left:?}"
        ));
    }
    faults
}

#[test]
fn rooms_use_only_what_the_table_lists() {
    let text = fs::read_to_string(root().join(TABLE)).unwrap();
    let (table, used) = (table(&text), used());
    assert!(
        table.len() > 20 && used.len() > 60,
        "{} {}",
        table.len(),
        used.len()
    );
    let faults = faults(&table, &used);
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn a_use_that_is_not_listed_and_a_circle_are_found() {
    let text = fs::read_to_string(root().join(TABLE)).unwrap();
    let table = table(&text);
    let planted = "use crate::{clock::Timestamp, pipeline};\n// crate::output\n#[cfg(test)]\nmod tests {\n    use crate::cli;\n}\n";
    assert_eq!(
        named(&code(planted)),
        ["clock", "pipeline"].map(str::to_owned).into()
    );
    let mut upward = used();
    upward.insert(("nn".to_owned(), "config".to_owned()), "nn/mod.rs".into());
    let found = faults(&table, &upward);
    assert!(
        found.len() == 1 && found[0].contains("src/nn/mod.rs: nn uses config"),
        "{found:?}"
    );
    let mut circle = table;
    circle.get_mut("frame").unwrap().insert("door".to_owned());
    let found = faults(&circle, &used()).join("\n");
    assert!(
        found.contains("in a circle") && found.contains("frame does not use door"),
        "{found}"
    );
}
