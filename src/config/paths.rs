//! Paths in a configuration: each is relative to the folder of its file, according to one table. The test below goes through
//! every key and finds a path key that is not in the table.

use std::path::Path;

/// The kinds of text that a key accepts as a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Takes {
    /// A path and nothing else.
    Path,
    /// The name of something built in, or a path: a text with a `/`, or one that ends with `.toml`. A word after `:` stays as
    /// it is.
    NameOrFile,
    /// A word, an absolute device, or `pictures:` and a path.
    Source,
}

/// Every key that takes a path, with its tables.
const KEYS: [(&[&str], Takes); 5] = [
    (&["board"], Takes::NameOrFile),
    (&["models"], Takes::NameOrFile),
    (&["model_files"], Takes::Path),
    (&["gallery"], Takes::Path),
    (&["camera", "source"], Takes::Source),
];

/// Rewrites every path in `file`, which is stored in `folder`, so that it is relative to the working directory.
pub fn locate(file: &mut toml::Table, folder: &Path) {
    for (key, takes) in KEYS {
        let Some((last, tables)) = key.split_last() else {
            continue;
        };
        let table = tables.iter().try_fold(&mut *file, |table, name| {
            table.get_mut(*name)?.as_table_mut()
        });
        // A value of another type is refused where the key is read.
        if let Some(toml::Value::String(text)) = table.and_then(|t| t.get_mut(*last)) {
            *text = takes.locate(text, folder);
        }
    }
}

impl Takes {
    fn locate(self, text: &str, folder: &Path) -> String {
        let from = |path: &str| folder.join(path).to_string_lossy().into_owned();
        match self {
            _ if text.is_empty() => String::new(),
            Self::Path => from(text),
            Self::NameOrFile => {
                let file = text.split_once(':').map_or(text, |(file, _)| file);
                if file.contains('/') || file.ends_with(".toml") {
                    from(text)
                } else {
                    text.to_owned()
                }
            }
            Self::Source => match text.strip_prefix("pictures:") {
                Some(path) if !path.is_empty() => format!("pictures:{}", from(path)),
                _ => text.to_owned(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_count_from_the_files_folder_and_names_stay() {
        let mut file: toml::Table = toml::from_str(
            "board = 'pi4'\nmodels = 'sets/own.toml:small'\nmodel_files = '../m'\ngallery = '/var/g'\n\
             [camera]\nsource = 'pictures:pics'\n",
        )
        .unwrap();
        locate(&mut file, Path::new("/etc/latchkey"));
        let expected: toml::Table = toml::from_str(
            "board = 'pi4'\nmodels = '/etc/latchkey/sets/own.toml:small'\nmodel_files = '/etc/latchkey/../m'\n\
             gallery = '/var/g'\n[camera]\nsource = 'pictures:/etc/latchkey/pics'\n",
        )
        .unwrap();
        assert_eq!(file, expected);
        for source in [
            "auto",
            "/dev/video0",
            "doorstep:7",
            "pictures:",
            "pictures:/a",
        ] {
            assert_eq!(Takes::Source.locate(source, Path::new("/etc")), source);
        }
        for name in ["latchkey", "latchkey:small", "pi5"] {
            assert_eq!(Takes::NameOrFile.locate(name, Path::new("/etc")), name);
        }
        assert_eq!(
            Takes::NameOrFile.locate("own.toml", Path::new("/etc")),
            "/etc/own.toml"
        );
    }
}
