// Run with `node --test` in this folder; no package is needed.
import assert from "node:assert/strict";
import test from "node:test";
import { addTag, countAll, labelsOf } from "./labels.js";

test("labels follow from the beginnings of words", () => {
  assert.deepEqual(labelsOf("Urgent: LANDLORD raises rent"), ["housing", "urgent"]);
  assert.deepEqual(labelsOf("Syntax of parental leave"), []);
  assert.deepEqual(labelsOf(""), []);
});

test("tags are cleaned and kept once", () => {
  assert.deepEqual(addTag(["b"], " A "), { tags: ["a", "b"] });
  assert.deepEqual(addTag(["a"], "a"), { tags: ["a"] });
});

test("a bad tag is a mistake", () => {
  for (const bad of ["", " ", "-a", "ä", "two words", "x".repeat(32)]) assert.ok(addTag([], bad).mistake, bad);
  assert.ok(addTag(Array.from({ length: 20 }, (_, n) => `t${n}`), "one-more").mistake);
});

test("a label counts once per case file", () => {
  assert.deepEqual(countAll([["a", "a"], ["b", "a"], ["c"]]), [
    { label: "a", dossiers: 2 },
    { label: "b", dossiers: 1 },
    { label: "c", dossiers: 1 },
  ]);
});
