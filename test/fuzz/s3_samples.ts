/** Requests of S3 that are right, as texts: a line with method and path, headers, an empty line, the body. */

const NAMESPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"';

export const DOCUMENTS = [
  `<?xml version="1.0" encoding="UTF-8"?>
<LifecycleConfiguration ${NAMESPACE}><Rule><ID>old</ID><Filter><And><Prefix>a/</Prefix><Tag><Key>k</Key><Value>v</Value></Tag><ObjectSizeGreaterThan>5</ObjectSizeGreaterThan></And></Filter><Status>Enabled</Status><Expiration><Days>3</Days></Expiration><NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays><NewerNoncurrentVersions>2</NewerNoncurrentVersions></NoncurrentVersionExpiration></Rule></LifecycleConfiguration>`,
  `<LifecycleConfiguration><Rule><Prefix/><Status>Disabled</Status><Expiration><Date>2030-01-01T00:00:00Z</Date></Expiration></Rule><Rule><ID>up</ID><Filter><Prefix>x</Prefix></Filter><Status>Enabled</Status><AbortIncompleteMultipartUpload><DaysAfterInitiation>7</DaysAfterInitiation></AbortIncompleteMultipartUpload></Rule></LifecycleConfiguration>`,
  `<LifecycleConfiguration><Rule><Filter><ObjectSizeLessThan>9</ObjectSizeLessThan></Filter><Status>Enabled</Status><Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration></Rule></LifecycleConfiguration>`,
  `<CORSConfiguration ${NAMESPACE}><CORSRule><ID>a &amp; b</ID><AllowedOrigin>https://*.example.com</AllowedOrigin><AllowedMethod>GET</AllowedMethod><AllowedMethod>PUT</AllowedMethod><AllowedHeader>*</AllowedHeader><ExposeHeader>ETag</ExposeHeader><MaxAgeSeconds>300</MaxAgeSeconds></CORSRule></CORSConfiguration>`,
  `<!-- all --><CORSConfiguration><CORSRule><AllowedOrigin>*</AllowedOrigin><AllowedMethod>HEAD</AllowedMethod></CORSRule></CORSConfiguration>`,
  `<Tagging><TagSet><Tag><Key>colour</Key><Value>r&#233;d &lt;&#x1F680;&gt;</Value></Tag><Tag><Key>b</Key><Value/></Tag></TagSet></Tagging>`,
  `<Tagging><TagSet/></Tagging>`,
  `<VersioningConfiguration ${NAMESPACE}><Status>Enabled</Status></VersioningConfiguration>`,
  `<CreateBucketConfiguration ${NAMESPACE}><LocationConstraint>us-east-1</LocationConstraint></CreateBucketConfiguration>`,
  `<Delete><Object><Key>a</Key></Object><Object><Key><![CDATA[<b>]]></Key><VersionId>null</VersionId></Object><Quiet>true</Quiet></Delete>`,
  `<s3:Delete xmlns:s3="x"><s3:Object><s3:Key>key</s3:Key></s3:Object></s3:Delete>`,
  `<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>"abc"</ETag><ChecksumCRC32>AAAAAA==</ChecksumCRC32></Part><Part><PartNumber>2</PartNumber><ETag>def</ETag></Part></CompleteMultipartUpload>`,
] as const;

const of = (root: string) => DOCUMENTS.filter((text) => text.includes(`<${root}`));
const put = (path: string, body: string, ...headers: string[]) =>
  [`PUT ${path}`, ...headers, "", body].join("\n");
const only = (line: string, ...headers: string[]) => [line, ...headers, "", ""].join("\n");

export const REQUESTS: readonly string[] = [
  only("GET /"),
  only("PUT /maps"),
  only("HEAD /maps"),
  ...of("CreateBucketConfiguration").map((body) => put("/other", body)),
  ...of("LifecycleConfiguration").map((body) => put("/maps?lifecycle", body)),
  ...of("CORSConfiguration").map((body) => put("/maps?cors", body)),
  ...of("VersioningConfiguration").map((body) => put("/maps?versioning", body)),
  ...of("Tagging").flatMap((body) => [put("/maps?tagging", body), put("/maps/key?tagging", body)]),
  ...of("Delete").concat(of("s3:Delete")).map((body) => ["POST /maps?delete", "", body].join("\n")),
  ...of("CompleteMultipartUpload").map((body) => ["POST /maps/key?uploadId=1", "", body].join("\n")),
  only("GET /maps?lifecycle"),
  only("GET /maps?cors"),
  only("GET /maps?location"),
  only("GET /maps?list-type=2&prefix=k&delimiter=%2F&max-keys=3&encoding-type=url&start-after=a"),
  only("GET /maps?list-type=2&continuation-token=a2V5"),
  only("GET /maps?versions&key-marker=a&version-id-marker=null&max-keys=2"),
  only("GET /maps?uploads&prefix=k"),
  put("/maps/key", "some bytes", "content-type: text/plain", "x-amz-meta-a: b", "x-amz-tagging: a=1&b=2"),
  put("/maps/key", "some bytes", "content-md5: 4lEXWcYmLQtQjoCWTnJnTg==", "if-none-match: *"),
  put("/maps/a%20key/%C3%BC", "", "x-amz-checksum-crc32: AAAAAA==", "x-amz-sdk-checksum-algorithm: CRC32"),
  put(
    "/maps/key",
    "5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n",
    "content-encoding: aws-chunked",
    "x-amz-decoded-content-length: 5",
    "x-amz-trailer: x-amz-checksum-crc32",
    "x-amz-content-sha256: STREAMING-UNSIGNED-PAYLOAD-TRAILER",
  ),
  put("/maps/copy", "", "x-amz-copy-source: /maps/key?versionId=null", "x-amz-metadata-directive: REPLACE"),
  put("/maps/key?partNumber=1&uploadId=1", "part"),
  put(
    "/maps/key?partNumber=2&uploadId=1",
    "",
    "x-amz-copy-source: maps/key",
    "x-amz-copy-source-range: bytes=0-1",
  ),
  only("GET /maps/key", "range: bytes=1-3", 'if-match: "abc"', "x-amz-checksum-mode: ENABLED"),
  only("GET /maps/key?partNumber=1&response-content-type=text%2Fhtml", "if-range: W/x"),
  only("GET /maps/key?versionId=null", "if-modified-since: Sun, 06 Nov 1994 08:49:37 GMT"),
  only("HEAD /maps/key"),
  only("GET /maps/key?attributes", "x-amz-object-attributes: ETag,Checksum,ObjectParts,ObjectSize"),
  only("GET /maps/key?uploadId=1&max-parts=2&part-number-marker=1"),
  only("GET /maps/key?acl"),
  only("POST /maps/key?uploads", "x-amz-checksum-algorithm: CRC32"),
  only("DELETE /maps/key?versionId=null"),
  only("DELETE /maps/key?tagging"),
  only("DELETE /maps/key?uploadId=1"),
  only(
    "OPTIONS /maps/key",
    "origin: https://a.example.com",
    "access-control-request-method: PUT",
    "access-control-request-headers: x-a, x-b",
  ),
  only(
    "GET /maps/key?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDSTAR%2F20261121%2Fus-east-1%2Fs3%2Faws4_request" +
      "&X-Amz-Date=20261121T000000Z&X-Amz-Expires=604800&X-Amz-SignedHeaders=host" +
      `&X-Amz-Signature=${"0".repeat(64)}`,
  ),
  only(
    "GET /maps/key",
    "authorization: AWS4-HMAC-SHA256 Credential=AKIDSTAR/20261121/us-east-1/s3/aws4_request, " +
      `SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature=${"0".repeat(64)}`,
    "x-amz-date: 20261121T000000Z",
    "x-amz-content-sha256: UNSIGNED-PAYLOAD",
  ),
];
