/**
 * Looks into a large object without fetching it: its size, its first line and its last, each by a range.
 *
 *     deno run --allow-net --allow-env examples/peek.ts sky/stars.csv
 *
 * Needs S3_ENDPOINT, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY set. Requests are signed by aws4fetch.
 */
import { AwsClient } from "aws4fetch";

const END_BYTES = 4096;

function setting(name: string): string {
  const value = Deno.env.get(name);
  if (value === undefined) throw new Error(`Set ${name}`);
  return value;
}

const [path] = Deno.args;
if (path === undefined) throw new Error("Name an object as BUCKET/KEY, as in sky/stars.csv");
const url = `${setting("S3_ENDPOINT")}/${path.split("/").map(encodeURIComponent).join("/")}`;
const s3 = new AwsClient({
  accessKeyId: setting("AWS_ACCESS_KEY_ID"),
  secretAccessKey: setting("AWS_SECRET_ACCESS_KEY"),
  service: "s3",
  region: "us-east-1",
});

async function ask(init: RequestInit): Promise<Response> {
  const answer = await s3.fetch(url, init);
  if (!answer.ok) throw new Error(`${answer.status} for ${path}: ${await answer.text()}`);
  return answer;
}

const head = await ask({ method: "HEAD" });
const [start, end] = await Promise.all(
  [`bytes=0-${END_BYTES - 1}`, `bytes=-${END_BYTES}`].map(async (range) =>
    (await ask({ headers: { range } })).text()
  ),
);
console.log(`${path}: ${head.headers.get("content-length")} bytes, ETag ${head.headers.get("etag")}`);
console.log(`begins with  ${start!.split("\n")[0]}`);
console.log(`ends with    ${end!.trimEnd().split("\n").at(-1)}`);
