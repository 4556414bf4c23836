// Labels from words and tags from people.
//
// Labels follow from a case file's title; `intake` asks for them before it opens one. Tags are put on case files that
// exist, which only `dossiers` knows, so this module asks there. Tags are kept in the bucket `default`, one key per
// case file, each a JSON list.

import files from "lexorbital:dossiers/files@0.1.0";
import store from "wasi:keyvalue/store@0.2.0-draft";
import { addTag, countAll, labelsOf } from "./labels.js";

const PAGE = 100;
// `summary` reads every case file; an office with more of them needs an index instead.
const DOSSIERS_MAX = 2000;

export const labeler = {
  label: labelsOf,
};

export const tags = {
  add(dossier, tag) {
    requireDossier(dossier);
    const changed = addTag(read(dossier), tag);
    if (changed.mistake) throw { tag: "invalid", val: changed.mistake };
    write(dossier, changed.tags);
    return changed.tags;
  },

  of(dossier) {
    requireDossier(dossier);
    return read(dossier);
  },

  summary() {
    return countAll(allDossiers().map(({ id, labels }) => [...labels, ...read(id)]));
  },
};

// Asks `dossiers` whether there is such a case file; throws this module's error when not.
function requireDossier(id) {
  attempt(() => files.get(id), dossierError);
}

function allDossiers() {
  const found = [];
  let after = null;
  do {
    const page = attempt(() => files.list(after, PAGE), dossierError);
    found.push(...page.dossiers);
    after = page.next;
  } while (after !== null && found.length < DOSSIERS_MAX);
  return found;
}

function read(dossier) {
  const bucket = open();
  const bytes = attempt(() => bucket.get(key(dossier)), storeError);
  return bytes === null ? [] : JSON.parse(decode(bytes));
}

function write(dossier, list) {
  const bucket = open();
  attempt(() => bucket.set(key(dossier), encode(JSON.stringify(list))), storeError);
}

function open() {
  return attempt(() => store.open("default"), storeError);
}

function key(dossier) {
  return `tags/${dossier}`;
}

// Calls an import. Its `err` arrives as something thrown, with the value in `payload`.
function attempt(call, translate) {
  try {
    return call();
  } catch (error) {
    throw translate(error?.payload ?? error);
  }
}

// An error of `dossiers` as one of ours. A failed call stays one, so that our caller sees its code.
function dossierError(error) {
  if (error?.tag === "not-found") return { tag: "unknown-dossier", val: error.val };
  if (error?.tag === "failed") return error;
  return { tag: "unavailable", val: `dossiers: ${describe(error)}` };
}

function storeError(error) {
  return { tag: "unavailable", val: `store: ${describe(error)}` };
}

function describe(error) {
  return error?.tag ? `${error.tag} ${error.val ?? ""}`.trim() : String(error);
}

// The store keeps bytes and QuickJS has no TextEncoder. JSON with everything beyond ASCII escaped needs none.
function encode(json) {
  const ascii = json.replace(/[\u0080-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
  return Uint8Array.from(ascii, (letter) => letter.charCodeAt(0));
}

function decode(bytes) {
  return Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
}
