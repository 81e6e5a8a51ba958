//! The floors of the source: what each part may import, as the list in `src/lib.rs` says, and no circles among files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use syn::visit::Visit;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src");

/// Parts whose files must not import each other in a circle.
const WITHOUT_CIRCLES: [&str; 4] = ["gateway", "rest", "upstream", "server"];

/// A module by its path: `["gateway", "bulk"]`.
type Module = Vec<String>;

/// What one file says.
#[derive(Default)]
struct File {
    /// Paths that it names, as they would be written from the root of the crate.
    names: BTreeSet<Module>,
    /// Names that it hands on, and where they come from.
    handed_on: BTreeMap<String, Module>,
}

/// Reads one file's paths. Tests are skipped: they may know everything.
struct Reader<'a> {
    module: &'a Module,
    children: BTreeSet<String>,
    file: File,
}

impl Reader<'_> {
    /// Returns a path from the root of the crate; none where it leads out of the crate.
    fn absolute(&self, path: &[String]) -> Option<Module> {
        let first = path.first()?.as_str();
        let (mut base, rest) = match first {
            "crate" => (Vec::new(), &path[1..]),
            "self" => (self.module.clone(), &path[1..]),
            "super" => (self.module[..self.module.len() - 1].to_vec(), &path[1..]),
            child if self.children.contains(child) => (self.module.clone(), path),
            _ => return None,
        };
        let mut rest = rest;
        while rest.first().is_some_and(|segment| segment == "super") {
            base.pop();
            rest = &rest[1..];
        }
        base.extend_from_slice(rest);
        Some(base)
    }

    fn leaves(&mut self, tree: &syn::UseTree, path: &mut Vec<String>, public: bool) {
        match tree {
            syn::UseTree::Path(step) => {
                path.push(step.ident.to_string());
                self.leaves(&step.tree, path, public);
                path.pop();
            }
            syn::UseTree::Group(group) => group.items.iter().for_each(|item| self.leaves(item, path, public)),
            syn::UseTree::Glob(_) => self.name(path, None, public),
            syn::UseTree::Name(name) => self.leaf(path, &name.ident, &name.ident, public),
            syn::UseTree::Rename(name) => self.leaf(path, &name.ident, &name.rename, public),
        }
    }

    fn leaf(&mut self, path: &mut Vec<String>, ident: &syn::Ident, known_as: &syn::Ident, public: bool) {
        let name = ident.to_string();
        if name == "self" {
            return self.name(path, Some(known_as.to_string()), public);
        }
        path.push(name);
        self.name(path, Some(known_as.to_string()), public);
        path.pop();
    }

    fn name(&mut self, path: &[String], known_as: Option<String>, public: bool) {
        let Some(path) = self.absolute(path) else { return };
        match known_as.filter(|_| public) {
            Some(known_as) => drop(self.file.handed_on.insert(known_as, path)),
            None => drop(self.file.names.insert(path)),
        }
    }
}

fn is_of_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        syn::Meta::List(list) => list.path.is_ident("cfg") && list.tokens.to_string() == "test",
        _ => false,
    })
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if !is_of_tests(&item.attrs) {
            self.leaves(&item.tree, &mut Vec::new(), !matches!(item.vis, syn::Visibility::Inherited));
        }
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if !is_of_tests(&item.attrs) {
            syn::visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        if !is_of_tests(&item.attrs) {
            syn::visit::visit_item_fn(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if !is_of_tests(&item.attrs) {
            syn::visit::visit_impl_item_fn(self, item);
        }
    }

    /// Who may see something is no import.
    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if segments.len() > 1 {
            self.name(&segments, None, false);
        }
        syn::visit::visit_path(self, path);
    }
}

/// Returns every Rust file in a folder and the folders in it.
fn sources(folder: &str) -> Vec<PathBuf> {
    let mut sources = Vec::new();
    let mut folders = vec![PathBuf::from(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                sources.push(path);
            }
        }
    }
    sources
}

/// Reads every file of the crate that is not one of tests.
fn files() -> BTreeMap<Module, File> {
    let modules: BTreeMap<Module, PathBuf> = sources(SOURCE).into_iter().map(|path| (module_of(&path), path)).collect();
    let tests = |module: &Module| module.iter().any(|name| name == "tests");
    let read = |module: &Module, path: &Path| {
        let children = modules.keys().filter(|child| child.len() == module.len() + 1 && child.starts_with(module));
        let children = children.map(|child| child[module.len()].clone()).collect();
        let text = std::fs::read_to_string(path).expect("a file");
        let syntax = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut reader = Reader { module, children, file: File::default() };
        reader.visit_file(&syntax);
        reader.file
    };
    let of_crate =
        modules.iter().filter(|(module, _)| !tests(module) && module.first().is_none_or(|first| first != "main"));
    of_crate.map(|(module, path)| (module.clone(), read(module, path))).collect()
}

fn module_of(path: &Path) -> Module {
    let inside = path.strip_prefix(SOURCE).expect("below the source").with_extension("");
    let names: Module = inside.iter().map(|name| name.to_str().expect("a name").to_owned()).collect();
    if names == ["lib"] { Vec::new() } else { names }
}

/// Returns the file in which a path ends, following names that other files hand on.
fn file_of(files: &BTreeMap<Module, File>, path: &Module) -> Option<Module> {
    let mut path = path.clone();
    for _ in 0..8 {
        let length = (0..=path.len()).rev().find(|length| files.contains_key(&path[..*length]))?;
        let (module, rest) = path.split_at(length);
        let Some(origin) = rest.first().and_then(|name| files[module].handed_on.get(name)) else {
            return (length > 0).then(|| module.to_vec());
        };
        path = origin.iter().chain(&rest[1..]).cloned().collect();
    }
    panic!("{path:?} is handed on in a circle")
}

/// Returns which files each file imports from.
fn imports(files: &BTreeMap<Module, File>) -> BTreeMap<Module, BTreeSet<Module>> {
    let of = |module: &Module, file: &File| -> BTreeSet<Module> {
        let origins = file.names.iter().filter_map(|path| file_of(files, path));
        origins.filter(|origin| origin != module).collect()
    };
    files.iter().map(|(module, file)| (module.clone(), of(module, file))).collect()
}

/// Returns the floors as `src/lib.rs` lists them, the top one first.
fn floors() -> Vec<BTreeSet<String>> {
    let text = std::fs::read_to_string(Path::new(SOURCE).join("lib.rs")).expect("a file");
    let lines = text.lines().filter_map(|line| line.strip_prefix("//! | "));
    let rows = lines
        .filter_map(|line| line.split('|').next())
        .map(|names| names.split('`').skip(1).step_by(2).map(str::to_owned).collect::<BTreeSet<String>>());
    rows.filter(|names| !names.is_empty()).collect()
}

/// Returns the files that a file imports from, directly or through others.
fn reached_from<'a>(file: &Module, imports: &'a BTreeMap<Module, BTreeSet<Module>>) -> BTreeSet<&'a Module> {
    let mut seen = BTreeSet::new();
    let mut to_do: Vec<&Module> = imports[file].iter().collect();
    while let Some(file) = to_do.pop() {
        if seen.insert(file) {
            to_do.extend(&imports[file]);
        }
    }
    seen
}

#[test]
fn no_part_imports_from_a_floor_above_it() {
    let (files, floors) = (files(), floors());
    let floor = |module: &Module| floors.iter().position(|names| names.contains(&module[0]));
    let mut wrong = Vec::new();
    for (file, origins) in imports(&files).iter().filter(|(file, _)| !file.is_empty()) {
        let own = floor(file).unwrap_or_else(|| panic!("{} is on no floor", file[0]));
        let above = origins.iter().filter(|origin| {
            let theirs = floor(origin).unwrap_or_else(|| panic!("{} is on no floor", origin[0]));
            theirs < own || (theirs == own && origin[0] != file[0])
        });
        wrong.extend(above.map(|origin| format!("{} imports {}", file.join("/"), origin.join("/"))));
    }
    assert!(wrong.is_empty(), "upward imports:\n{}", wrong.join("\n"));
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let imports = imports(&files());
    let of_circles =
        imports.keys().filter(|file| file.first().is_some_and(|part| WITHOUT_CIRCLES.contains(&part.as_str())));
    let reached: BTreeMap<&Module, BTreeSet<&Module>> =
        imports.keys().map(|file| (file, reached_from(file, &imports))).collect();
    let mut circles = BTreeSet::new();
    for start in of_circles.filter(|start| reached[start].contains(start)) {
        // Whoever is reached and reaches back is in the circle.
        let members = reached[start].iter().copied().filter(|file| reached[file].contains(start));
        circles.insert(members.collect::<BTreeSet<&Module>>());
    }
    let ties = |members: &BTreeSet<&Module>| -> Vec<String> {
        let of = |file: &&Module| {
            let origins =
                imports[*file].iter().filter(|origin| members.contains(origin)).map(|origin| origin.join("/"));
            format!("{} imports {}", file.join("/"), origins.collect::<Vec<_>>().join(", "))
        };
        members.iter().map(of).collect()
    };
    let circles: Vec<String> = circles.iter().map(|members| ties(members).join("\n")).collect();
    assert!(circles.is_empty(), "circles:\n\n{}", circles.join("\n\n"));
}

#[test]
fn no_file_has_more_than_400_lines() {
    let build = [Path::new(ROOT).join("build.rs")].into_iter().chain(sources(&format!("{ROOT}/proto")));
    for path in sources(SOURCE).into_iter().chain(build) {
        let lines = std::fs::read_to_string(&path).expect("a file").lines().count();
        assert!(lines <= 400, "{} has {lines} lines", path.display());
    }
}
