/** Mistakes in the tables' files, in merging them, and in how all that lies on disks is sealed. */
import { type Mutant, TESTS } from "./mutant.ts";

const BLOCKS = "core/tables/block.ts";
const COMPACTION = "core/tables/compaction.ts";
const FILTER = "core/tables/filter.ts";
const MANIFEST = "core/tables/manifest.ts";
const MERGE = "core/tables/merge.ts";
const PLAN = "core/tables/plan.ts";
const SEAL = "core/tables/seal.ts";
const SORTED = "core/tables/sorted_file.ts";
const STORE = "core/tables/store.ts";
const VAULT = "core/base/vault.ts";
const VERSION = "core/tables/version.ts";

export const TABLES: readonly Mutant[] = ([
  {
    name: "filter-has-false-negatives",
    rule: "A filter says no only of keys that are not in its file",
    file: FILTER,
    original:
      "    if ((filter[bit >>> 3]! & (1 << (bit & 7))) === 0) return false;\n    h = (h + delta) >>> 0;",
    mutated:
      "    if ((filter[bit >>> 3]! & (1 << (bit & 7))) === 0) return false;\n    h = (h + delta + 1) >>> 0;",
  },
  {
    name: "filter-forgets-as-it-grows",
    rule: "A filter knows all keys of its file, however many these are",
    file: SORTED,
    original: "      grown.set(this.#hashes);\n",
    mutated: "",
  },
  {
    name: "block-passes-its-last-row",
    rule: "Every row of a block is found",
    file: BLOCKS,
    original: "  let low = 0, high = rows - 1;\n  while (low <= high) {",
    mutated: "  let low = 0, high = rows - 1;\n  while (low < high) {",
  },
  {
    name: "span-ignored-in-a-merge",
    rule: "What a newer span deletes does not come back in a merge",
    file: MERGE,
    original: "const hiding = at === 0 ? null : this.#hiding(at, source.key!);",
    mutated: 'const hiding = null as ReturnType<Merge["#hiding"]>;',
  },
  {
    name: "span-forgotten-above-older-rows",
    rule: "A merge keeps the spans that may hide rows below",
    file: COMPACTION,
    original: "    this.#spans = plan.bottom\n",
    mutated: "    this.#spans = plan.bottom || !plan.again\n",
  },
  {
    name: "spans-of-a-file-not-cut",
    rule: "Files of one level do not overlap, their spans neither",
    file: COMPACTION,
    original: "clipped(this.#spans, this.#from, to)",
    mutated: "clipped(this.#spans, null, to)",
  },
  {
    name: "deletion-forgotten-above-older-rows",
    rule: "A deletion is kept as long as an older row may lie below",
    file: PLAN,
    original: "version.levels.slice(into + 1).some(",
    mutated: "version.levels.slice(into + 2).some(",
  },
  {
    name: "deletion-forgotten-when-sealed-anew",
    rule: "A file that is written again for its key's sake keeps what it deletes",
    file: PLAN,
    original: "into: file.level, move: false, bottom: false, again: true",
    mutated: "into: file.level, move: false, bottom: true, again: true",
  },
  {
    name: "oldest-flush-wins",
    rule: "In level 0 the newest file is asked first (S7)",
    file: VERSION,
    original: "b.age - a.age || b.number - a.number",
    mutated: "a.age - b.age || a.number - b.number",
  },
  {
    name: "file-sealed-anew-counts-as-newest",
    rule: "A file that is written again hides no more than it did before",
    file: COMPACTION,
    original: "const age = again ? this.inputs[0]!.age : number;",
    mutated: "const age = number;",
  },
  {
    name: "flush-moved-past-older-rows",
    rule: "A file moves down only where nothing lies that it overlaps (S7)",
    file: PLAN,
    original: "files.some((file) => file !== oldest && overlaps(file, oldest.first, oldest.end)) &&\n" +
      "    overlapping(version.levels[1]!, oldest.first, oldest.end).length === 0",
    mutated: "files.some((file) => file !== oldest && overlaps(file, oldest.first, oldest.end))",
  },
  {
    name: "last-key-beyond-the-end",
    rule: "The end of a file lies above its last key",
    file: SORTED,
    original: "this.#last === null ? null : successor(this.#last)",
    mutated: "this.#last",
  },
  {
    name: "manifest-before-its-files",
    rule: "A manifest names no file that is not synced (S2)",
    file: STORE,
    original: "  persist(): void {\n    this.#syncFiles();\n",
    mutated: "  persist(): void {\n",
  },
  {
    name: "names-of-files-not-synced",
    rule: "A manifest names no file whose name is not synced (S2)",
    file: STORE,
    original: "      this.#unsynced.delete(number);\n    }\n    this.#files.syncDirectory();\n",
    mutated: "      this.#unsynced.delete(number);\n    }\n",
  },
  {
    name: "manifest-not-synced",
    rule: "A manifest is durable before it takes the place of the one before",
    file: MANIFEST,
    original: "    file.append(body);\n    file.sync();\n",
    mutated: "    file.append(body);\n",
  },
  {
    name: "new-manifest-not-certain",
    rule: "Nothing is reported durable before the manifest's name is",
    file: MANIFEST,
    original: "  files.rename(NEW_MANIFEST, MANIFEST);\n  files.syncDirectory();\n",
    mutated: "  files.rename(NEW_MANIFEST, MANIFEST);\n",
  },
  {
    name: "files-of-a-snapshot-removed-early",
    rule: "A file stays as long as a reader needs it (S4)",
    file: STORE,
    original: "if (!released || this.#durable.has(number)) continue;",
    mutated: "if (this.#durable.has(number)) continue;",
  },
  {
    name: "files-of-the-manifest-removed-early",
    rule: "A file stays as long as the manifest on the disk names it (S4)",
    file: STORE,
    original: "if (!released || this.#durable.has(number)) continue;",
    mutated: "if (!released) continue;",
  },
  {
    name: "buried-file-taken-from-a-merge",
    rule: "A file that is being merged is left to the merge",
    file: STORE,
    original: "      !busy.has(number) &&\n",
    mutated: "",
  },
  {
    name: "rests-of-a-crash-left",
    rule: "Opening removes what no manifest names (S5)",
    file: STORE,
    original: "if (name === NEW_MANIFEST || (number !== null && !version.has(number))) files.remove(name);",
    mutated: "if (name === NEW_MANIFEST && number !== null) files.remove(name);",
  },
  {
    name: "nonce-always-the-same",
    rule: "Under one key no nonce seals two texts (K2)",
    file: SEAL,
    original: "    writeUint32(this.#nonce, NONCE_BYTES - 4, number);\n",
    mutated: "",
  },
  {
    name: "nonce-without-its-part",
    rule: "A block and the index of its file have nonces of their own (K2)",
    file: SEAL,
    original: "    this.#nonce[0] = part;\n",
    mutated: "",
  },
  {
    name: "tag-not-checked",
    rule: "What was not sealed under this key is not opened (K3)",
    file: VAULT,
    original:
      "        return null; // the one thing that final() can complain of: the tag does not fit (K3)\n",
    mutated: "",
  },
  {
    name: "salt-of-files-the-same",
    rule: "No two files share a key (K1)",
    file: SORTED,
    original: "this.#sealed = { generation: vault.current, salt: files.salt() };",
    mutated: "this.#sealed = { generation: vault.current, salt: new Uint8Array(SALT_BYTES).fill(1) };",
  },
  {
    name: "salt-of-manifests-the-same",
    rule: "No two manifests share a key (K1)",
    file: MANIFEST,
    original: "const sealed = { generation: vault.current, salt: files.salt() };",
    mutated: "const sealed = { generation: vault.current, salt: new Uint8Array(SALT_BYTES).fill(1) };",
  },
  {
    name: "key-of-a-file-without-its-salt",
    rule: "A file's key comes from its salt (K1)",
    file: VAULT,
    original: "hkdf(this.#dataKey(generation), salt, FILE_PURPOSE + purpose)",
    mutated: "hkdf(this.#dataKey(generation), salt.slice(0, 0), FILE_PURPOSE + purpose)",
  },
  {
    name: "clear-manifest-believed",
    rule: "A private network reads no list of files that is not sealed",
    file: MANIFEST,
    original: "    if (generation === 0 && vault.current !== 0) {\n",
    mutated: "    if (generation === 0 && vault.current < 0) {\n",
  },
  {
    name: "former-key-of-a-leaving-file-forgotten",
    rule: "A generation is in use as long as a file is on the disk that is sealed with it",
    file: STORE,
    original: "    for (const { info } of this.#leaving.values()) found.add(info.generation);\n",
    mutated: "",
  },
  {
    name: "former-key-of-the-manifest-forgotten",
    rule: "A generation is in use as long as the manifest on the disk is sealed with it",
    file: STORE,
    original: "    const found = new Set([this.#manifestGeneration]);",
    mutated: "    const found = new Set<number>();",
  },
  {
    name: "former-key-not-written-anew",
    rule: "What another generation sealed is written again, whatever level it is in (S8)",
    file: PLAN,
    original: "    if (file.generation === generation) continue;\n",
    mutated: "    if (file.generation === generation || file.level > 1) continue;\n",
  },
  {
    name: "clear-journal-believed",
    rule: "A private network reads no segment that is not encrypted (C5)",
    file: "core/wire/journal_recovery.ts",
    original: "    if (key === null && this.#vault.current !== 0) throw new JournalPlainError(name); // C5\n",
    mutated: "",
  },
] satisfies Omit<Mutant, "first">[]).map((mutant) => ({ ...mutant, first: TESTS }));
