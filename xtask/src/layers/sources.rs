//! The modules of a crate and the edges between them, read from its sources.
//!
//! Always true: edges name top-level modules (a submodule counts as its top-level one), and never an edge to oneself.
//!
//! Does not: follow `#[path]`; nothing here uses it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use proc_macro2::{TokenStream, TokenTree};
use syn::visit::Visit;

/// The target of an edge that cannot be named: everything in the crate root.
pub(super) const GLOB: &str = "*";

/// One crate's modules and edges.
#[derive(Debug, Default)]
pub(super) struct Sources {
    pub(super) modules: BTreeSet<String>,
    pub(super) edges: BTreeSet<Edge>,
}

/// `from` names something of `to`.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Edge {
    pub(super) file: String,
    pub(super) line: usize,
    pub(super) from: String,
    pub(super) to: String,
}

/// One parsed file and where it stands in the module tree.
struct Module {
    path: Vec<String>,
    file: String,
    syntax: syn::File,
}

impl Module {
    fn is_root(&self) -> bool {
        matches!(self.path.as_slice(), [only] if only == "lib" || only == "main")
    }
}

impl Sources {
    /// Reads the crate whose sources are below `src`; a crate that is not there has no modules.
    pub(super) fn read(src: &Path) -> Result<Self> {
        let mut modules = Vec::new();
        collect(src, src, &mut modules)?;
        let only_in_tests = test_modules(&modules);
        modules.retain(|module| {
            !only_in_tests
                .iter()
                .any(|hidden| module.path.starts_with(hidden))
        });

        let names: BTreeSet<String> = modules
            .iter()
            .filter_map(|module| module.path.first().cloned())
            .collect();
        let exports = root_exports(&modules, &names);
        let mut edges = BTreeSet::new();
        for module in &modules {
            let from = module.path.first().cloned().unwrap_or_default();
            // Files of the crate root stand above all modules: nothing is `super` to them.
            let depth = if module.is_root() {
                0
            } else {
                module.path.len()
            };
            let mut reader = Reader {
                depth,
                inline: 0,
                names: &names,
                exports: &exports,
                found: Vec::new(),
            };
            reader.visit_file(&module.syntax);
            for (to, line) in reader.found {
                if to != from {
                    edges.insert(Edge {
                        file: module.file.clone(),
                        line,
                        from: from.clone(),
                        to,
                    });
                }
            }
        }
        Ok(Self {
            modules: names,
            edges,
        })
    }
}

fn collect(src: &Path, dir: &Path, modules: &mut Vec<Module>) -> Result<()> {
    let mut entries: Vec<PathBuf> = match fs::read_dir(dir) {
        Ok(entries) => entries
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .collect(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_context(|| format!("read {}", dir.display())),
    };
    entries.sort();
    for path in entries {
        if path.is_dir() {
            collect(src, &path, modules)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text =
                fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
            let syntax =
                syn::parse_file(&text).with_context(|| format!("parse {}", path.display()))?;
            let inside = path.strip_prefix(src).unwrap_or(&path).with_extension("");
            let words = inside
                .iter()
                .map(|word| word.to_string_lossy().into_owned())
                .collect();
            let file = path
                .strip_prefix(src.parent().and_then(Path::parent).unwrap_or(src))
                .unwrap_or(&path);
            modules.push(Module {
                path: words,
                file: file.display().to_string(),
                syntax,
            });
        }
    }
    Ok(())
}

/// Files that are declared by `#[cfg(test)] mod name;`.
fn test_modules(modules: &[Module]) -> Vec<Vec<String>> {
    let mut hidden = Vec::new();
    for module in modules {
        for item in &module.syntax.items {
            if let syn::Item::Mod(declared) = item
                && declared.content.is_none()
                && only_for_tests(&declared.attrs)
            {
                let mut path = if module.is_root() {
                    Vec::new()
                } else {
                    module.path.clone()
                };
                path.push(declared.ident.to_string());
                hidden.push(path);
            }
        }
    }
    hidden
}

/// What the crate root re-exports, by the name it has there: `pub use settings::Runtime` → `Runtime` is of `settings`.
fn root_exports(modules: &[Module], names: &BTreeSet<String>) -> BTreeMap<String, String> {
    let mut exports = BTreeMap::new();
    for module in modules.iter().filter(|module| module.is_root()) {
        for item in &module.syntax.items {
            let syn::Item::Use(import) = item else {
                continue;
            };
            for path in flatten(&import.tree) {
                let words = path
                    .words
                    .iter()
                    .skip_while(|word| *word == "crate" || *word == "self");
                let Some(first) = words.clone().next() else {
                    continue;
                };
                if names.contains(first) {
                    exports.insert(path.name, first.clone());
                }
            }
        }
    }
    exports
}

fn only_for_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("test")
            || (attribute.path().is_ident("cfg")
                && attribute
                    .meta
                    .require_list()
                    .is_ok_and(|list| demands_test(list.tokens.clone())))
    })
}

/// `test`, `all(test, …)`; not `not(test)` and not `any(test, …)`.
fn demands_test(tokens: TokenStream) -> bool {
    let mut words = tokens.into_iter();
    match (words.next(), words.next()) {
        (Some(TokenTree::Ident(word)), None) => word == "test",
        (Some(TokenTree::Ident(word)), Some(TokenTree::Group(group))) if word == "all" => group
            .stream()
            .into_iter()
            .any(|token| matches!(token, TokenTree::Ident(word) if word == "test")),
        _ => false,
    }
}

/// One imported path, and the name it has afterwards.
struct Imported {
    words: Vec<String>,
    name: String,
    line: usize,
}

fn flatten(tree: &syn::UseTree) -> Vec<Imported> {
    fn go(tree: &syn::UseTree, before: &[String], found: &mut Vec<Imported>) {
        let with = |word: String| before.iter().cloned().chain([word]).collect::<Vec<_>>();
        let mut push = |ident: &syn::Ident, name: &syn::Ident| {
            found.push(Imported {
                words: with(ident.to_string()),
                name: name.to_string(),
                line: ident.span().start().line,
            });
        };
        match tree {
            syn::UseTree::Path(path) => go(&path.tree, &with(path.ident.to_string()), found),
            syn::UseTree::Name(name) => push(&name.ident, &name.ident),
            syn::UseTree::Rename(rename) => push(&rename.ident, &rename.rename),
            syn::UseTree::Glob(glob) => found.push(Imported {
                words: with(GLOB.to_owned()),
                name: GLOB.to_owned(),
                line: glob
                    .star_token
                    .spans
                    .first()
                    .map_or(0, |span| span.start().line),
            }),
            syn::UseTree::Group(group) => {
                group.items.iter().for_each(|item| go(item, before, found));
            }
        }
    }
    let mut found = Vec::new();
    go(tree, &[], &mut found);
    found
}

/// Collects the top-level modules that a file names.
struct Reader<'crate_> {
    /// How many `super` lead from the file to the crate root.
    depth: usize,
    /// How many inline modules stand around the item that is being read.
    inline: usize,
    names: &'crate_ BTreeSet<String>,
    exports: &'crate_ BTreeMap<String, String>,
    found: Vec<(String, usize)>,
}

impl Reader<'_> {
    fn path(&mut self, words: &[String], line: usize) {
        let ups = words
            .iter()
            .take_while(|word| *word == "super" || *word == "self");
        let supers = ups.clone().filter(|word| *word == "super").count();
        let rest = words.get(ups.count()..).unwrap_or_default();
        let place = self.depth + self.inline;
        let first = match rest {
            [root, first, ..] if root == "crate" => first,
            [first, ..]
                if (supers > 0 || words.len() > rest.len() || self.depth == 0)
                    && supers == place =>
            {
                first
            }
            _ => return,
        };
        if first == GLOB {
            if place > 0 {
                self.found.push((GLOB.to_owned(), line));
            }
        } else if self.names.contains(first) {
            self.found.push((first.clone(), line));
        } else if let Some(module) = self.exports.get(first) {
            self.found.push((module.clone(), line));
        }
    }

    /// Macro arguments are not parsed: every `a::b::c` among their tokens is taken for a path.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut words: Vec<String> = Vec::new();
        let mut line = 0;
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                TokenTree::Ident(ident) => {
                    if colons != 2 {
                        self.path(&std::mem::take(&mut words), line);
                        line = ident.span().start().line;
                    }
                    words.push(ident.to_string());
                    colons = 0;
                }
                other => {
                    self.path(&std::mem::take(&mut words), line);
                    colons = 0;
                    if let TokenTree::Group(group) = other {
                        self.tokens(group.stream());
                    }
                }
            }
        }
        self.path(&words, line);
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        let attributes = match item {
            syn::Item::Fn(item) => &item.attrs,
            syn::Item::Mod(item) => &item.attrs,
            syn::Item::Use(item) => &item.attrs,
            syn::Item::Impl(item) => &item.attrs,
            syn::Item::Struct(item) => &item.attrs,
            syn::Item::Enum(item) => &item.attrs,
            syn::Item::Const(item) => &item.attrs,
            syn::Item::Static(item) => &item.attrs,
            syn::Item::Type(item) => &item.attrs,
            _ => return syn::visit::visit_item(self, item),
        };
        if !only_for_tests(attributes) {
            syn::visit::visit_item(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if !only_for_tests(&item.attrs) {
            syn::visit::visit_impl_item_fn(self, item);
        }
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.inline += 1;
        syn::visit::visit_item_mod(self, item);
        self.inline -= 1;
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        for imported in flatten(&item.tree) {
            self.path(&imported.words, imported.line);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let words: Vec<String> = path
            .segments
            .iter()
            .map(|segment| segment.ident.to_string())
            .collect();
        // One word is a local name, an item of this module or something imported, which was counted where it was.
        if words.len() > 1 {
            let line = path
                .segments
                .first()
                .map_or(0, |segment| segment.ident.span().start().line);
            self.path(&words, line);
        }
        syn::visit::visit_path(self, path);
    }

    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {
        // `pub(in crate::x)` says who may see, not who is used.
    }

    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        self.visit_path(&item.path);
        self.tokens(item.tokens.clone());
    }
}
