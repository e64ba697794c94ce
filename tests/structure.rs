//! Two properties of the source that the compiler does not check: no file imports itself through
//! others, so that each can be read after those that it imports; and no two types have one name.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use syn::visit::{self, Visit};
use syn::{Attribute, Item, ItemMod, ItemUse, Meta, UseTree, Visibility};

/// Path of a module, e.g. `accounting`, `clock`; empty for the root.
type Module = Vec<String>;

/// For other systems, the same type as in `linux`: only one of the two is ever compiled.
const MIRROR: &str = "unsupported";

/// Reads and parses every file below `folder`, which is the file tree of `module`.
fn parse(folder: &Path, module: &Module, sources: &mut BTreeMap<Module, syn::File>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let child = [module.as_slice(), std::slice::from_ref(&stem)].concat();
        if path.is_dir() {
            parse(&path, &child, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let is_root = ["lib", "mod"].contains(&stem.as_str());
            let module = if is_root { module } else { &child };
            let text = fs::read_to_string(&path).unwrap();
            sources.insert(module.clone(), syn::parse_file(&text).unwrap());
        }
    }
}

/// Folders of the source of each crate.
const CRATES: [&str; 2] = ["src", "crates/thread-states/src"];

fn crate_sources(source: &str) -> BTreeMap<Module, syn::File> {
    let mut sources = BTreeMap::new();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(source);
    parse(&source, &Module::new(), &mut sources);
    sources
}

/// Collects every path in the code of a file, its inline tests left out.
#[derive(Default)]
struct Paths(Vec<Vec<String>>);

impl<'ast> Visit<'ast> for Paths {
    fn visit_item_mod(&mut self, module: &'ast ItemMod) {
        if !is_test(&module.attrs) {
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.add_tree(&[], &item.tree);
    }

    /// `pub(super)` imports nothing.
    fn visit_visibility(&mut self, _: &'ast Visibility) {}

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments = path.segments.iter();
        self.0
            .push(segments.map(|segment| segment.ident.to_string()).collect());
        visit::visit_path(self, path);
    }
}

impl Paths {
    fn add_tree(&mut self, before: &[String], tree: &UseTree) {
        let with = |name: &syn::Ident| [before, &[name.to_string()]].concat();
        match tree {
            UseTree::Path(path) => self.add_tree(&with(&path.ident), &path.tree),
            UseTree::Name(name) => self.0.push(with(&name.ident)),
            UseTree::Rename(rename) => self.0.push(with(&rename.ident)),
            UseTree::Glob(_) => self.0.push(before.to_vec()),
            UseTree::Group(group) => group
                .items
                .iter()
                .for_each(|tree| self.add_tree(before, tree)),
        }
    }
}

/// Returns whether an item is compiled for tests only: `cfg(test)` or `cfg(all(test, …))`.
fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::List(cfg) if cfg.path.is_ident("cfg") => {
            let cfg = cfg.tokens.to_string().replace(' ', "");
            cfg == "test" || cfg.starts_with("all(test,")
        }
        _ => false,
    })
}

/// The module whose file has what `path`, in the file of `from`, stands for; `None` if that is not of
/// this crate.
fn target(path: &[String], from: &Module, modules: &BTreeSet<&Module>) -> Option<Module> {
    let mut absolute = from.clone();
    let mut rest = path;
    match path.first()?.as_str() {
        "crate" => {
            absolute.clear();
            rest = &path[1..];
        }
        "self" | "super" => {
            while let Some((first, others)) = rest.split_first() {
                match first.as_str() {
                    "self" => {}
                    "super" => drop(absolute.pop()),
                    _ => break,
                }
                rest = others;
            }
        }
        // A module of the file's own, or something of another crate or the file itself.
        child => {
            absolute.push(child.to_owned());
            if !modules.contains(&absolute) {
                return None;
            }
            rest = &path[1..];
        }
    }
    for name in rest {
        absolute.push(name.clone());
        if !modules.contains(&absolute) {
            absolute.pop();
            break;
        }
    }
    (absolute != *from).then_some(absolute)
}

type Imports = BTreeMap<Module, BTreeSet<Module>>;

fn imports(sources: &BTreeMap<Module, syn::File>) -> Imports {
    let modules = sources.keys().collect();
    let of_file = |(module, file): (&Module, &syn::File)| {
        let mut paths = Paths::default();
        paths.visit_file(file);
        let targets = paths.0.iter();
        let targets = targets.filter_map(|path| target(path, module, &modules));
        (module.clone(), targets.collect())
    };
    sources.iter().map(of_file).collect()
}

/// A circle of imports, if there is one: each module imports the next, and the last the first.
fn circle(imports: &Imports) -> Option<Vec<String>> {
    let mut done = BTreeSet::new();
    let mut path = Vec::new();
    let circle = imports
        .keys()
        .find_map(|module| circle_from(module, imports, &mut path, &mut done))?;
    Some(circle.iter().map(|module| module.join("::")).collect())
}

fn circle_from<'a>(
    module: &'a Module,
    imports: &'a Imports,
    path: &mut Vec<&'a Module>,
    done: &mut BTreeSet<&'a Module>,
) -> Option<Vec<&'a Module>> {
    if let Some(first) = path.iter().position(|other| *other == module) {
        return Some(path[first..].to_vec());
    }
    if done.contains(module) {
        return None;
    }
    path.push(module);
    let mut others = imports.get(module).into_iter().flatten();
    let found = others.find_map(|next| circle_from(next, imports, path, done));
    path.pop();
    done.insert(module);
    found
}

#[test]
fn no_file_imports_itself_through_others() {
    for source in CRATES {
        let imports = imports(&crate_sources(source));
        let edges: usize = imports.values().map(BTreeSet::len).sum();
        assert!(edges > 100, "only {edges} imports were found in {source}");
        assert_eq!(circle(&imports), None, "in {source}");
    }
}

#[test]
fn no_two_types_have_the_same_name() {
    for source in CRATES {
        let mut declared: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (module, file) in &crate_sources(source) {
            if module.last().is_some_and(|name| name == MIRROR) {
                continue;
            }
            for item in &file.items {
                let name = match item {
                    Item::Struct(item) => &item.ident,
                    Item::Enum(item) => &item.ident,
                    Item::Trait(item) => &item.ident,
                    Item::Type(item) => &item.ident,
                    Item::Union(item) => &item.ident,
                    _ => continue,
                };
                let modules = declared.entry(name.to_string()).or_default();
                modules.push(module.join("::"));
            }
        }
        assert!(declared.len() > 30, "only {} types", declared.len());
        declared.retain(|_, modules| modules.len() > 1);
        assert_eq!(declared, BTreeMap::new(), "in {source}");
    }
}

#[test]
fn a_circle_is_found_in_every_form_of_import() {
    let circle_of = |one: &str, other: &str| {
        let sources = [
            ("", "mod one; mod other; pub use one::One;"),
            ("one", one),
            ("other", other),
        ];
        let sources = sources.map(|(module, text)| {
            let module = module.split_terminator("::").map(str::to_owned);
            (module.collect(), syn::parse_file(text).unwrap())
        });
        circle(&imports(&sources.into()))
    };
    let both = Some(["one", "other"].map(str::to_owned).to_vec());
    let imports = "use super::other::{self, Other};";
    for back in [
        "use super::one::One;",
        "use crate::one;",
        "use super::{one::{self, One}};",
        "use super::one::*;",
        "fn f() { super::one::f() }",
        "impl From<crate::one::One> for Other {}",
    ] {
        assert_eq!(circle_of(imports, back), both, "{back}");
    }
    // Through the root, which imports `one`.
    assert!(circle_of("use super::One;", "").is_some());
    let in_tests = "#[cfg(test)] mod tests { use super::super::one::One; }";
    for none in [
        "",
        "pub(super) struct One;",
        "use std::one::One;",
        "use one::One;",
        in_tests,
    ] {
        assert_eq!(circle_of(imports, none), None, "{none}");
    }
}
