/** A file of fixtures/, which lies beside the folder of the sources and of the bundle alike. */
export function fixture(name: string): URL {
  return new URL(`../fixtures/${name}`, import.meta.url);
}
