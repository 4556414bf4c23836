// What labels and tags are, without anything of WIT in it, so that `node --test` can run it.

// A word that begins like this gives that label.
const LABELS = [
  ["rent", "housing"],
  ["lease", "housing"],
  ["landlord", "housing"],
  ["tenan", "housing"],
  ["dismiss", "employment"],
  ["wage", "employment"],
  ["employ", "employment"],
  ["divorc", "family"],
  ["custod", "family"],
  ["inherit", "family"],
  ["tax", "tax"],
  ["appeal", "appeal"],
  ["urgent", "urgent"],
  ["injunction", "urgent"],
];

const TAG = /^[a-z0-9][a-z0-9-]{0,30}$/;
const TAGS_MAX = 20;

// The labels for a title, sorted, each once.
export function labelsOf(title) {
  const words = title.toLowerCase().split(/[^\p{L}]+/u);
  const found = LABELS.filter(([start]) => words.some((word) => word.startsWith(start)));
  return [...new Set(found.map(([, label]) => label))].sort();
}

// A list with one tag more: `{ tags }`, or `{ mistake }` when it cannot be.
export function addTag(tags, tag) {
  const clean = tag.trim().toLowerCase();
  if (!TAG.test(clean)) return { mistake: "a tag is 1 to 31 letters a-z, digits and dashes" };
  if (tags.includes(clean)) return { tags };
  if (tags.length >= TAGS_MAX) return { mistake: `there are ${TAGS_MAX} tags already` };
  return { tags: [...tags, clean].sort() };
}

// How many lists have each label: most used first, then by name.
export function countAll(lists) {
  const counts = new Map();
  for (const list of lists) {
    for (const label of new Set(list)) counts.set(label, (counts.get(label) ?? 0) + 1);
  }
  const sorted = [...counts].sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1));
  return sorted.map(([label, dossiers]) => ({ label, dossiers }));
}
