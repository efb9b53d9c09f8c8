//! Which file of a crate imports from which: the module tree, the names in it, and cycles between files.
//!
//! Tests are left out. `mod` and `pub use` are declarations, not imports: a re-exported name belongs to the file that
//! defines it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::{Attribute, ImplItem, Item, ItemUse, UseTree, Visibility};

use crate::read;

/// Path of a module in its crate; empty for the root.
type ModulePath = Vec<String>;

/// Imports by importing and imported file, with the paths that they name.
pub type Imports = BTreeMap<PathBuf, BTreeMap<PathBuf, BTreeSet<String>>>;

#[derive(Default)]
struct Module {
    file: PathBuf,
    items: BTreeSet<String>,
    /// Names that `use` brings in, with their paths.
    names: BTreeMap<String, Vec<String>>,
    globs: Vec<Vec<String>>,
    /// Every path that the file's code names, apart from re-exports.
    paths: BTreeSet<Vec<String>>,
}

/// The modules of a crate.
pub struct Crate {
    modules: BTreeMap<ModulePath, Module>,
}

/// What a path leads to.
enum Target {
    Module(ModulePath),
    Item(PathBuf),
}

impl Crate {
    /// Reads the modules of a crate from its root file.
    pub fn read(root: PathBuf) -> Self {
        let mut found = Self { modules: BTreeMap::new() };
        let folder = root.parent().expect("a root is in a folder").to_owned();
        found.read_file(&root, &folder, Vec::new());
        found
    }

    /// Returns its files.
    pub fn files(&self) -> BTreeSet<PathBuf> {
        self.modules.values().map(|module| module.file.clone()).collect()
    }

    /// Returns what its files import from each other.
    pub fn imports(&self) -> Imports {
        let mut imports = Imports::new();
        for (at, module) in &self.modules {
            for path in &module.paths {
                if let Some(Target::Item(file)) = self.resolve(at, path, 0)
                    && file != module.file
                {
                    let from = imports.entry(module.file.clone()).or_default();
                    from.entry(file).or_default().insert(path.join("::"));
                }
            }
        }
        imports
    }

    /// - `folder`: where the files of its child modules are.
    fn read_file(&mut self, file: &Path, folder: &Path, at: ModulePath) {
        let parsed = syn::parse_file(&read(file)).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        self.read_items(parsed.items, file, folder, at);
    }

    fn read_items(&mut self, items: Vec<Item>, file: &Path, folder: &Path, at: ModulePath) {
        let mut module = Module { file: file.to_owned(), ..Module::default() };
        for item in items {
            match item {
                Item::Mod(child) if !is_test(&child.attrs) => {
                    let name = child.ident.to_string();
                    let (below, path) = (folder.join(&name), [&at[..], std::slice::from_ref(&name)].concat());
                    if let Some((_, items)) = child.content {
                        self.read_items(items, file, &below, path);
                        continue;
                    }
                    let files = [folder.join(format!("{name}.rs")), below.join("mod.rs")];
                    let file = files.iter().find(|file| rollcall_tests::workspace().join(file).is_file());
                    let file = file.unwrap_or_else(|| panic!("expected a file of `{}`", path.join("::")));
                    self.read_file(file, &below, path);
                }
                Item::Use(item) if !is_test(&item.attrs) => module.add_use(&item),
                Item::Impl(mut item) if !is_test(&item.attrs) => {
                    item.items.retain(|item| !matches!(item, ImplItem::Fn(item) if is_test(&item.attrs)));
                    module.add_paths(item.into_token_stream());
                }
                Item::Mod(_) | Item::Use(_) | Item::Impl(_) => {}
                item => {
                    if let Some((name, attributes)) = name_of(&item)
                        && !is_test(attributes)
                    {
                        module.items.insert(name);
                        module.add_paths(item.into_token_stream());
                    }
                }
            }
        }
        self.modules.insert(at, module);
    }

    /// - `depth`: number of re-exports followed so far.
    fn resolve(&self, at: &ModulePath, path: &[String], depth: usize) -> Option<Target> {
        let module = self.modules.get(at)?;
        let (first, rest) = path.split_first()?;
        let child = [&at[..], std::slice::from_ref(first)].concat();
        let found = match first.as_str() {
            "crate" => Target::Module(Vec::new()),
            "self" => Target::Module(at.clone()),
            "super" => Target::Module(at.split_last()?.1.to_vec()),
            _ if depth > 16 => return None,
            name if module.items.contains(name) => Target::Item(module.file.clone()),
            _ if self.modules.contains_key(&child) => Target::Module(child),
            // `use x::x` may name another crate.
            name => match module.names.get(name).filter(|path| path[..] != [name]) {
                Some(path) => self.resolve(at, path, depth + 1)?,
                None => module
                    .globs
                    .iter()
                    .find_map(|glob| self.resolve(at, &[&glob[..], std::slice::from_ref(first)].concat(), depth + 1))?,
            },
        };
        match found {
            Target::Module(module) if !rest.is_empty() => self.resolve(&module, rest, depth),
            found => Some(found),
        }
    }
}

impl Module {
    fn add_use(&mut self, item: &ItemUse) {
        let is_re_export = !matches!(item.vis, Visibility::Inherited);
        self.add_use_tree(&item.tree, Vec::new(), is_re_export);
    }

    fn add_use_tree(&mut self, tree: &UseTree, mut path: Vec<String>, is_re_export: bool) {
        let name = match tree {
            UseTree::Path(tree) => {
                path.push(tree.ident.to_string());
                return self.add_use_tree(&tree.tree, path, is_re_export);
            }
            UseTree::Group(group) => {
                return group.items.iter().for_each(|tree| self.add_use_tree(tree, path.clone(), is_re_export));
            }
            UseTree::Glob(_) => return self.globs.push(path),
            UseTree::Name(tree) => {
                let name = tree.ident.to_string();
                if name == "self" { path.last().cloned().unwrap_or_default() } else { name }
            }
            UseTree::Rename(tree) => tree.rename.to_string(),
        };
        match tree {
            UseTree::Name(tree) if tree.ident != "self" => path.push(tree.ident.to_string()),
            UseTree::Rename(tree) if tree.ident != "self" => path.push(tree.ident.to_string()),
            _ => {}
        }
        if !is_re_export {
            self.paths.insert(path.clone());
        }
        self.names.insert(name, path);
    }

    /// Adds every path in the code, including those in macro arguments.
    fn add_paths(&mut self, code: TokenStream) {
        let mut tokens = code.into_iter().peekable();
        let mut path: Vec<String> = Vec::new();
        let mut n_colons = 0;
        while let Some(token) = tokens.next() {
            match token {
                TokenTree::Ident(ident) if ident == "use" => {
                    let rest = std::iter::from_fn(|| {
                        tokens.next_if(|token| !matches!(token, TokenTree::Punct(punct) if punct.as_char() == ';'))
                    });
                    let item = TokenStream::from_iter(rest);
                    // `use` also appears in `impl … + use<…>`.
                    if let Ok(item) = syn::parse2::<ItemUse>(quote::quote!(use #item;)) {
                        self.add_use(&item);
                    }
                }
                TokenTree::Ident(ident) => {
                    if n_colons != 2 {
                        self.paths.insert(std::mem::take(&mut path));
                    }
                    path.push(ident.to_string());
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' && !path.is_empty() => {
                    n_colons += 1;
                    continue;
                }
                TokenTree::Group(group) => {
                    self.paths.insert(std::mem::take(&mut path));
                    self.add_paths(group.stream());
                }
                _ => drop(self.paths.insert(std::mem::take(&mut path))),
            }
            n_colons = 0;
        }
        self.paths.insert(path);
        // A single name belongs to this file, or to one that a `use` names.
        self.paths.retain(|path| path.len() > 1);
    }
}

fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg") && {
            let condition = attribute.meta.to_token_stream().to_string();
            condition.contains("test") && !condition.contains("not")
        }
    })
}

fn name_of(item: &Item) -> Option<(String, &[Attribute])> {
    let (name, attributes) = match item {
        Item::Const(item) => (&item.ident, &item.attrs),
        Item::Enum(item) => (&item.ident, &item.attrs),
        Item::Fn(item) => (&item.sig.ident, &item.attrs),
        Item::Macro(item) => (item.ident.as_ref()?, &item.attrs),
        Item::Static(item) => (&item.ident, &item.attrs),
        Item::Struct(item) => (&item.ident, &item.attrs),
        Item::Trait(item) => (&item.ident, &item.attrs),
        Item::TraitAlias(item) => (&item.ident, &item.attrs),
        Item::Type(item) => (&item.ident, &item.attrs),
        Item::Union(item) => (&item.ident, &item.attrs),
        _ => return None,
    };
    Some((name.to_string(), attributes))
}

/// Returns the files that `from` imports, directly or through others.
fn reachable<'i>(imports: &'i Imports, from: &'i PathBuf) -> BTreeSet<&'i PathBuf> {
    let mut reached = BTreeSet::new();
    let mut next = vec![from];
    while let Some(file) = next.pop() {
        next.extend(imports.get(file).into_iter().flatten().map(|(to, _)| to).filter(|to| reached.insert(*to)));
    }
    reached
}

/// Describes every set of files that import each other, directly or through others.
pub fn cycles(imports: &Imports) -> Vec<String> {
    let reached: BTreeMap<&PathBuf, BTreeSet<&PathBuf>> =
        imports.keys().map(|file| (file, reachable(imports, file))).collect();
    let groups: BTreeSet<BTreeSet<&PathBuf>> = reached
        .iter()
        .filter(|(file, to)| to.contains(*file))
        .map(|(file, to)| {
            to.iter().copied().filter(|other| reached.get(other).is_some_and(|to| to.contains(file))).collect()
        })
        .collect();
    let describe = |group: &BTreeSet<&PathBuf>| {
        let files: Vec<String> = group.iter().map(|file| file.display().to_string()).collect();
        let edges = group.iter().flat_map(|from| imports[*from].iter().map(move |(to, paths)| (*from, to, paths)));
        let edges = edges.filter(|(_, to, _)| group.contains(to)).map(|(from, to, paths)| {
            let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
            format!("  {} -> {}: {}\n", from.display(), to.display(), paths.join(", "))
        });
        format!("{}\n{}", files.join(", "), edges.collect::<String>())
    };
    groups.iter().map(describe).collect()
}

#[test]
fn a_cycle_is_found_in_macros_and_through_re_exports_and_declarations_are_not_imports() {
    let folder = tempfile::tempdir().expect("a temporary folder can be created");
    for (file, text) in [
        ("lib.rs", "mod a; pub mod b; mod c; pub use a::A; pub const LIMIT: u32 = 1;"),
        ("a.rs", "pub struct A; pub fn f() { println!(\"{}\", crate::b::g()); }"),
        ("b.rs", "use crate::{A, c}; pub fn g() -> u32 { c::h() }"),
        ("c.rs", "pub fn h() -> u32 { super::LIMIT } #[cfg(test)] mod tests { use crate::a::A; }"),
    ] {
        std::fs::write(folder.path().join(file), text).expect("a file can be written");
    }
    let imports = Crate::read(folder.path().join("lib.rs")).imports();
    let name = |file: &Path| file.file_name().expect("a file has a name").to_string_lossy().into_owned();
    let edges: Vec<(String, String)> =
        imports.iter().flat_map(|(from, to)| to.keys().map(move |to| (name(from), name(to)))).collect();
    let expected = [("a.rs", "b.rs"), ("b.rs", "a.rs"), ("b.rs", "c.rs"), ("c.rs", "lib.rs")];
    assert_eq!(edges, expected.map(|(from, to)| (from.to_owned(), to.to_owned())));
    let found = cycles(&imports);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("a.rs") && found[0].contains("b.rs") && !found[0].contains("lib.rs"), "{found:?}");
}
