/** The path of a file in fixtures/: beside the sources, or beside the bundle that this runs from. */
export function fixture(name: string): URL {
  const root = import.meta.url.endsWith(".ts") ? "../fixtures/" : "./fixtures/";
  return new URL(root + name, import.meta.url);
}
