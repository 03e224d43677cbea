//! The documents are correct: links and anchors have targets, paths exist, and this program accepts the command lines and
//! configurations. Readers must check the sentences.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use latchkey::config::{Config, Overrides};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The documents of a package, in addition to those in `docs`. Links may lead only to documents of the package, because nothing
/// else is installed.
const DOCUMENTS: [&str; 7] = [
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "SECURITY.md",
    "tests/README.md",
    "models/latchkey/README.md",
];

/// The folders whose files the documents name.
const FOLDERS: [&str; 6] = ["src/", "tests/", "scripts/", "docs/", "boards/", "models/"];

/// A line of a document.
struct Line {
    document: PathBuf,
    number: usize,
    text: String,
    /// The language of the fenced block around the line: empty for a block without a language, `None` for prose.
    block: Option<String>,
}

impl Line {
    /// A message about a mistake in this line, in the form that a compiler would use.
    fn wrong(&self, what: &str) -> String {
        format!("{}:{}: {what}", self.document.display(), self.number)
    }

    /// Texts that may be a path, a command or a name: those in backticks, and each line of a block for the shell.
    fn quoted(&self) -> Vec<&str> {
        match self.block.as_deref() {
            None => self.text.split('`').skip(1).step_by(2).collect(),
            Some("sh") => vec![self.text.trim()],
            Some(_) => Vec::new(),
        }
    }
}

fn documents() -> Vec<PathBuf> {
    let in_docs = fs::read_dir(Path::new(ROOT).join("docs")).unwrap();
    let names = in_docs.map(|entry| Path::new("docs").join(entry.unwrap().file_name()));
    let named = DOCUMENTS.iter().map(PathBuf::from);
    let mut all: Vec<PathBuf> = named
        .chain(names.filter(|name| name.extension().is_some_and(|e| e == "md")))
        .collect();
    all.sort();
    all
}

/// The lines of one document, without the lines that begin and end blocks.
fn lines_of(document: &Path) -> Vec<Line> {
    let text = fs::read_to_string(Path::new(ROOT).join(document))
        .unwrap_or_else(|e| panic!("{}: {e}", document.display()));
    let (mut lines, mut block) = (Vec::new(), None);
    for (place, text) in text.lines().enumerate() {
        match (text.strip_prefix("```"), &block) {
            (Some(language), None) => block = Some(language.trim().to_owned()),
            (Some(_), Some(_)) => block = None,
            (None, _) => lines.push(Line {
                document: document.to_owned(),
                number: place + 1,
                text: text.to_owned(),
                block: block.clone(),
            }),
        }
    }
    assert!(
        block.is_none(),
        "{}: a block is not ended: add ```",
        document.display()
    );
    lines
}

fn lines() -> Vec<Line> {
    documents().iter().flat_map(|d| lines_of(d)).collect()
}

fn report(wrong: &[String]) {
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

/// The anchors of a document, as Git hosts make them from its headings.
fn anchors(document: &Path) -> Vec<String> {
    let anchor = |heading: &str| -> String {
        let lower = heading.trim().to_lowercase().replace(' ', "-");
        let kept = |c: &char| c.is_alphanumeric() || "-_".contains(*c);
        lower.chars().filter(kept).collect()
    };
    let prose = lines_of(document).into_iter().filter(|l| l.block.is_none());
    prose
        .filter(|l| l.text.starts_with('#'))
        .map(|l| anchor(l.text.trim_start_matches('#')))
        .collect()
}

#[test]
fn links_lead_to_documents_and_headings() {
    let known = documents();
    let mut wrong = Vec::new();
    for line in lines().iter().filter(|l| l.block.is_none()) {
        let links = line.text.split("](").skip(1);
        for link in links.filter_map(|rest| Some(rest.split_once(')')?.0)) {
            if link.starts_with("https://") {
                continue;
            }
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let folder = line.document.parent().unwrap();
            let target = match path {
                "" => line.document.clone(),
                path => normal(&folder.join(path)),
            };
            let picture = target.extension().is_some_and(|e| e == "jpg");
            if picture && Path::new(ROOT).join(&target).is_file() {
                continue;
            }
            if !known.contains(&target) {
                wrong.push(line.wrong(&format!(
                    "{link} is no document: link to one, and put the path of another file in backticks"
                )));
            } else if !anchor.is_empty() && !anchors(&target).iter().any(|a| a == anchor) {
                let there = anchors(&target).join(", ");
                wrong.push(line.wrong(&format!("{link}: no such heading; there are {there}")));
            }
        }
    }
    report(&wrong);
}

/// `path` without `..`.
fn normal(path: &Path) -> PathBuf {
    let mut parts = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::ParentDir => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts
}

#[test]
fn paths_and_scripts_exist() {
    let mut wrong = Vec::new();
    for line in &lines() {
        if line.block.is_none() && line.text.matches('`').count() % 2 == 1 {
            wrong.push(
                line.wrong("what is in backticks must not be broken over lines: put it on one"),
            );
        }
        let words = line.quoted();
        for word in words.iter().filter_map(|w| w.split_whitespace().next()) {
            // For a pattern, only the part before the `*` is checked.
            let path = word.split('*').next().unwrap_or(word);
            let named = FOLDERS.iter().any(|folder| path.starts_with(folder));
            // `src/config` may be a folder or `src/config.rs`.
            let file = Path::new(ROOT).join(path);
            if named && !file.exists() && !file.with_extension("rs").is_file() {
                wrong.push(line.wrong(&format!("{word} does not exist: correct the path")));
            }
        }
    }
    report(&wrong);
}

/// Each command line is given to the program with `--help` at its end: everything before that is parsed, and nothing is done.
#[test]
fn commands_are_those_of_the_program() {
    let mut wrong = Vec::new();
    for (line, text) in lines()
        .iter()
        .flat_map(|l| l.quoted().into_iter().map(move |t| (l, t)))
    {
        let text = text.strip_prefix("sudo -u latchkey ").unwrap_or(text);
        let text = text.strip_prefix("target/release/").unwrap_or(text);
        let Some(arguments) = text.strip_prefix("latchkey ") else {
            continue;
        };
        let arguments = arguments.split(" #").next().unwrap_or_default();
        let mut arguments: Vec<&str> = arguments.split_whitespace().collect();
        arguments.push("--help");
        let output = common::latchkey(Path::new(ROOT), &arguments);
        if !output.status.success() {
            let why = String::from_utf8_lossy(&output.stderr);
            let why = why.lines().next().unwrap_or_default();
            wrong.push(line.wrong(&format!("{why}; correct the command: {text}")));
        }
    }
    report(&wrong);
}

#[test]
fn configurations_are_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("latchkey.toml");
    let mut wrong = Vec::new();
    for document in documents() {
        let all = lines_of(&document);
        let mut blocks: Vec<Vec<&Line>> = Vec::new();
        for line in all.iter().filter(|l| l.block.as_deref() == Some("toml")) {
            match blocks.last_mut() {
                Some(block) if block.last().unwrap().number + 1 == line.number => block.push(line),
                _ => blocks.push(vec![line]),
            }
        }
        for block in blocks {
            if block[0].text.starts_with("# part of another file") {
                continue;
            }
            let text: Vec<&str> = block.iter().map(|l| l.text.as_str()).collect();
            fs::write(&file, text.join("\n")).unwrap();
            let asked = Overrides {
                config: Some(file.clone()),
                ..Overrides::default()
            };
            let read = Config::load(&asked).and_then(|config| config.card.read());
            if let Err(why) = read {
                wrong.push(block[0].wrong(&format!(
                    "{why}; correct the block, or begin it with `# part of another file`"
                )));
            }
        }
    }
    report(&wrong);
}

/// In the documents for contributors, a word with three underscores or more is the name of a test.
#[test]
fn named_tests_exist() {
    let mut sources = String::new();
    let mut folders = vec![Path::new(ROOT).join("src"), Path::new(ROOT).join("tests")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                sources += &fs::read_to_string(path).unwrap();
            }
        }
    }
    let mut wrong = Vec::new();
    for line in lines().iter().filter(|l| !l.document.starts_with("docs")) {
        for name in line.quoted() {
            let plain = name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
            let test = plain && name.matches('_').count() >= 3;
            if test && !sources.contains(&format!("fn {name}(")) {
                wrong.push(line.wrong(&format!(
                    "{name}: no such test: name the one that holds this"
                )));
            }
        }
    }
    report(&wrong);
}
