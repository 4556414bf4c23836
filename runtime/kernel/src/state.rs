//! What the operator and the uploaders have decided: the part of a station that must survive a restart.
//!
//! A [`State`] is plain data. Every change to it is a list of [`Change`]s, which the registry writes in one
//! transaction before the kernel shows the new state to anybody.

use serde::{Deserialize, Serialize};
use station_model::{Digest, Grant, Instances, InterfaceName, LimitsPatch, ModuleName, World};
use std::collections::BTreeMap;

/// Everything that is remembered about the modules of a station.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct State {
    /// The modules by name.
    pub modules: BTreeMap<ModuleName, ModuleState>,
    /// Access tokens of the admin API by id.
    pub tokens: BTreeMap<String, Token>,
}

/// What is remembered about one module.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ModuleState {
    /// Every revision that was uploaded, oldest first.
    pub revisions: Vec<Revision>,
    /// The one that serves calls; always one of `revisions`.
    pub active: Option<Digest>,
    /// What the operator allows.
    pub grants: Vec<Grant>,
    /// Who provides an import, once that was settled. A pinned link changes only by `station link`.
    pub links: BTreeMap<InterfaceName, ModuleName>,
    /// Limits that differ from the station's defaults.
    pub limits: LimitsPatch,
    /// What happens to instances after a call.
    pub instances: Instances,
    /// Values for `wasi:config`.
    pub config: BTreeMap<String, String>,
    /// Where the gateway sends requests to this module.
    pub routes: Vec<Route>,
}

/// One uploaded artifact of a module.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Revision {
    /// The SHA-256 of the component.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// When it was first uploaded, in milliseconds since 1970.
    pub uploaded_ms: u64,
    /// What it imports and exports.
    pub world: World,
    /// What its own metadata say.
    pub metadata: Metadata,
}

/// What a component says about itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Metadata {
    /// Its name.
    pub name: Option<String>,
    /// The owner's version.
    pub version: Option<String>,
    /// A sentence about it.
    pub description: Option<String>,
    /// Its licence.
    pub licence: Option<String>,
    /// Where its source is.
    pub source: Option<String>,
    /// The languages and tools that made it, such as `Rust`.
    pub producers: Vec<String>,
    /// How its tables come to be, in order. The only part that is more than words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub migrations: Vec<Migration>,
}

/// A public address of a module: a host, a path prefix, or both.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Route {
    /// The host name; none for every host.
    pub host: Option<String>,
    /// The path prefix, beginning with `/`; none for every path.
    pub path: Option<String>,
}

/// A step from one schema of a module's tables to the next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Migration {
    /// Its place: 1 for the first, and no number is left out.
    pub version: u32,
    /// What it does, in a word or two, such as `add_users`.
    pub name: String,
    /// Its statements. Once applied they never change.
    pub sql: String,
}

/// An access token of the admin API. Only its hash is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Public part, by which it is listed and revoked.
    pub id: String,
    /// What it is for, in the operator's words.
    pub label: String,
    /// SHA-256 of the secret part.
    pub hash: Digest,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: u64,
}

/// What a token may do. Each scope includes nothing else; `admin` is checked as such where a rule asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// Look at things.
    Read,
    /// Upload and call modules.
    Deploy,
    /// Grant, link, remove, and everything else.
    Admin,
}

impl Scope {
    /// True when holding this scope allows what `needed` allows: admin includes deploy, which includes read.
    pub fn includes(self, needed: Self) -> bool {
        self >= needed
    }
}

/// One change of the state.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Make a module if there is none of this name.
    AddModule(ModuleName),
    /// Forget a module with its revisions, grants, links, and data.
    RemoveModule(ModuleName),
    /// Remember a revision.
    AddRevision(ModuleName, Revision),
    /// Make a known revision the active one.
    Activate(ModuleName, Digest),
    /// Allow something.
    AddGrant(ModuleName, Grant),
    /// No longer allow it.
    RemoveGrant(ModuleName, Grant),
    /// Settle who provides an import.
    SetLink(ModuleName, InterfaceName, ModuleName),
    /// Replace what differs from the default limits.
    SetLimits(ModuleName, LimitsPatch),
    /// Replace what happens to instances.
    SetInstances(ModuleName, Instances),
    /// Replace the values for `wasi:config`.
    SetConfig(ModuleName, BTreeMap<String, String>),
    /// Replace the routes.
    SetRoutes(ModuleName, Vec<Route>),
    /// Bring a module's tables up to date: apply of these, in order, those that were not yet. Changes no state.
    Migrate(ModuleName, Vec<Migration>),
    /// Remember a token.
    AddToken(Token),
    /// Forget a token.
    RemoveToken(String),
    /// Forget events up to and including this offset. Changes no state.
    PruneEvents {
        /// The offset.
        through: u64,
    },
}

/// Who changed something, for the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// Who, such as `admin:root`.
    pub principal: String,
    /// The verb, such as `deploy` or `cache.rejected`.
    pub action: String,
    /// What it was done to, such as a module's name.
    pub subject: String,
    /// What is worth knowing about it.
    pub detail: serde_json::Value,
}

impl State {
    /// The module called `name`, if there is one.
    pub fn module(&self, name: &ModuleName) -> Option<&ModuleState> {
        self.modules.get(name)
    }

    /// True when some module has a revision with this digest.
    pub fn has_revision(&self, digest: &Digest) -> bool {
        self.modules.values().any(|module| module.revision(digest).is_some())
    }

    /// Makes `changes`, in their order. A change to a module that does not exist makes it.
    pub fn apply(&mut self, changes: &[Change]) {
        for change in changes {
            self.apply_one(change.clone());
        }
    }

    fn apply_one(&mut self, change: Change) {
        match change {
            Change::AddModule(name) => drop(self.modules.entry(name).or_default()),
            Change::RemoveModule(name) => drop(self.modules.remove(&name)),
            Change::AddRevision(name, revision) => self.edit(name).add_revision(revision),
            Change::Activate(name, digest) => self.edit(name).active = Some(digest),
            Change::AddGrant(name, grant) => self.edit(name).add_grant(grant),
            Change::RemoveGrant(name, grant) => self.edit(name).grants.retain(|g| *g != grant),
            Change::SetLink(name, interface, provider) => {
                drop(self.edit(name).links.insert(interface, provider));
            }
            Change::SetLimits(name, limits) => self.edit(name).limits = limits,
            Change::SetInstances(name, instances) => self.edit(name).instances = instances,
            Change::SetConfig(name, config) => self.edit(name).config = config,
            Change::SetRoutes(name, routes) => self.edit(name).routes = routes,
            Change::Migrate(..) => {}
            Change::AddToken(token) => drop(self.tokens.insert(token.id.clone(), token)),
            Change::RemoveToken(id) => drop(self.tokens.remove(&id)),
            Change::PruneEvents { .. } => {}
        }
    }

    fn edit(&mut self, name: ModuleName) -> &mut ModuleState {
        self.modules.entry(name).or_default()
    }
}

impl ModuleState {
    /// The revision with this digest.
    pub fn revision(&self, digest: &Digest) -> Option<&Revision> {
        self.revisions.iter().find(|r| r.digest == *digest)
    }

    /// The revision that serves calls.
    pub fn active_revision(&self) -> Option<&Revision> {
        self.active.as_ref().and_then(|digest| self.revision(digest))
    }

    fn add_revision(&mut self, revision: Revision) {
        if self.revision(&revision.digest).is_none() {
            self.revisions.push(revision);
        }
    }

    fn add_grant(&mut self, grant: Grant) {
        if !self.grants.contains(&grant) {
            self.grants.push(grant);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admin_includes_deploy_which_includes_read() {
        assert!(Scope::Admin.includes(Scope::Deploy) && Scope::Deploy.includes(Scope::Read));
        assert!(!Scope::Read.includes(Scope::Deploy) && !Scope::Deploy.includes(Scope::Admin));
    }
}
