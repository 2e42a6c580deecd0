"""What boto3_test.ts runs: every assertion that fails ends it with an error."""

import hashlib
import os

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

s3 = boto3.client(
    "s3",
    endpoint_url=os.environ["S3_ENDPOINT"],
    config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 10, "mode": "standard"}),
)


def refused(code, call, **arguments):
    """The code that the call is refused with must be this one."""
    try:
        call(**arguments)
    except ClientError as error:
        assert error.response["Error"]["Code"] == code, (code, error.response)
        assert error.response["ResponseMetadata"]["HTTPHeaders"]["x-amz-request-id"]
        return
    raise AssertionError(f"{call} was not refused with {code}")


B = "boto"
s3.create_bucket(Bucket=B)
refused("BucketAlreadyOwnedByYou", s3.create_bucket, Bucket=B)
refused("NoSuchBucket", s3.list_objects_v2, Bucket="nowhere")
refused("NoSuchKey", s3.get_object, Bucket=B, Key="nothing")
assert [b["Name"] for b in s3.list_buckets()["Buckets"]] == [B]

# An object with everything that belongs to one.
body = os.urandom(3_000_000)
put = s3.put_object(
    Bucket=B,
    Key="dir/star é",
    Body=body,
    ContentType="application/x-star",
    CacheControl="max-age=60",
    Metadata={"name": "Vega", "colour": "blue"},
    Tagging="class=A0&near=yes",
)
assert put["ETag"] == '"%s"' % hashlib.md5(body).hexdigest()
head = s3.head_object(Bucket=B, Key="dir/star é")
assert head["ContentLength"] == len(body) and head["ContentType"] == "application/x-star"
assert head["Metadata"] == {"name": "Vega", "colour": "blue"} and head["CacheControl"] == "max-age=60"
assert s3.get_object(Bucket=B, Key="dir/star é")["Body"].read() == body
tags = {t["Key"]: t["Value"] for t in s3.get_object_tagging(Bucket=B, Key="dir/star é")["TagSet"]}
assert tags == {"class": "A0", "near": "yes"}

# Ranges and conditions.
part = s3.get_object(Bucket=B, Key="dir/star é", Range="bytes=1048570-1048589")
assert part["Body"].read() == body[1048570:1048590] and part["ResponseMetadata"]["HTTPStatusCode"] == 206
assert s3.get_object(Bucket=B, Key="dir/star é", Range="bytes=-7")["Body"].read() == body[-7:]
refused("InvalidRange", s3.get_object, Bucket=B, Key="dir/star é", Range="bytes=3000000-")
refused("PreconditionFailed", s3.get_object, Bucket=B, Key="dir/star é", IfMatch='"other"')
refused("304", s3.get_object, Bucket=B, Key="dir/star é", IfNoneMatch=put["ETag"])

# A body that comes in no more than pieces, with a checksum after it.
s3.put_object(Bucket=B, Key="sum", Body=b"summed", ChecksumAlgorithm="SHA256")
assert s3.get_object(Bucket=B, Key="sum", ChecksumMode="ENABLED")["ChecksumSHA256"]

# Parts, and a part that is copied.
upload = s3.create_multipart_upload(Bucket=B, Key="parts", Metadata={"made": "of parts"})["UploadId"]
assert [u["UploadId"] for u in s3.list_multipart_uploads(Bucket=B)["Uploads"]] == [upload]
one, last = os.urandom(6_000_000), os.urandom(1_234)
etags = [s3.upload_part(Bucket=B, Key="parts", UploadId=upload, PartNumber=1, Body=one)["ETag"]]
s3.put_object(Bucket=B, Key="source", Body=os.urandom(10) + one + b"tail")
copied = s3.upload_part_copy(
    Bucket=B, Key="parts", UploadId=upload, PartNumber=2,
    CopySource={"Bucket": B, "Key": "source"}, CopySourceRange="bytes=10-6000009",
)
etags.append(copied["CopyPartResult"]["ETag"])
etags.append(s3.upload_part(Bucket=B, Key="parts", UploadId=upload, PartNumber=3, Body=last)["ETag"])
assert etags[0] == etags[1]
assert [p["PartNumber"] for p in s3.list_parts(Bucket=B, Key="parts", UploadId=upload)["Parts"]] == [1, 2, 3]
refused(
    "InvalidPart", s3.complete_multipart_upload, Bucket=B, Key="parts", UploadId=upload,
    MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": '"wrong"'}]},
)
refused(
    "InvalidPartOrder", s3.complete_multipart_upload, Bucket=B, Key="parts", UploadId=upload,
    MultipartUpload={"Parts": [{"PartNumber": n, "ETag": etags[n - 1]} for n in (2, 1)]},
)
done = s3.complete_multipart_upload(
    Bucket=B, Key="parts", UploadId=upload,
    MultipartUpload={"Parts": [{"PartNumber": n + 1, "ETag": e} for n, e in enumerate(etags)]},
)
assert done["ETag"].endswith('-3"')
assert s3.get_object(Bucket=B, Key="parts")["Body"].read() == one + one + last
assert s3.get_object(Bucket=B, Key="parts", PartNumber=3)["Body"].read() == last
aborted = s3.create_multipart_upload(Bucket=B, Key="parts")["UploadId"]
s3.upload_part(Bucket=B, Key="parts", UploadId=aborted, PartNumber=1, Body=b"x")
s3.abort_multipart_upload(Bucket=B, Key="parts", UploadId=aborted)
refused("NoSuchUpload", s3.list_parts, Bucket=B, Key="parts", UploadId=aborted)

# Lists with prefixes and delimiters, in pages.
for i in range(25):
    s3.put_object(Bucket=B, Key=f"list/{i % 5}/{i:02}", Body=b"")
page = s3.list_objects_v2(Bucket=B, Prefix="list/", Delimiter="/", MaxKeys=3)
assert [p["Prefix"] for p in page["CommonPrefixes"]] == ["list/0/", "list/1/", "list/2/"] and page["IsTruncated"]
rest = s3.list_objects_v2(
    Bucket=B, Prefix="list/", Delimiter="/", ContinuationToken=page["NextContinuationToken"]
)
assert [p["Prefix"] for p in rest["CommonPrefixes"]] == ["list/3/", "list/4/"] and not rest["IsTruncated"]
keys = [o["Key"] for p in s3.get_paginator("list_objects").paginate(Bucket=B, Prefix="list/", PaginationConfig={"PageSize": 4}) for o in p["Contents"]]
assert keys == sorted(f"list/{i % 5}/{i:02}" for i in range(25)), keys

# Copies, and new metadata for what is there.
s3.copy_object(Bucket=B, Key="copy", CopySource={"Bucket": B, "Key": "dir/star é"})
assert s3.head_object(Bucket=B, Key="copy")["Metadata"]["name"] == "Vega"
s3.copy_object(
    Bucket=B, Key="copy", CopySource={"Bucket": B, "Key": "copy"}, MetadataDirective="REPLACE",
    Metadata={"name": "Deneb"},
)
assert s3.head_object(Bucket=B, Key="copy")["Metadata"] == {"name": "Deneb"}
assert s3.get_object(Bucket=B, Key="copy")["Body"].read() == body

# Versions.
assert "Status" not in s3.get_bucket_versioning(Bucket=B)
s3.put_bucket_versioning(Bucket=B, VersioningConfiguration={"Status": "Enabled"})
ids = [s3.put_object(Bucket=B, Key="versions", Body=text)["VersionId"] for text in (b"one", b"two", b"three")]
marker = s3.delete_object(Bucket=B, Key="versions")
assert marker["DeleteMarker"] is True
refused("NoSuchKey", s3.get_object, Bucket=B, Key="versions")
assert s3.get_object(Bucket=B, Key="versions", VersionId=ids[1])["Body"].read() == b"two"
listed = s3.list_object_versions(Bucket=B, Prefix="versions")
assert [v["VersionId"] for v in listed["Versions"]] == ids[::-1]
assert listed["DeleteMarkers"][0]["IsLatest"] and listed["DeleteMarkers"][0]["VersionId"] == marker["VersionId"]
s3.delete_object(Bucket=B, Key="versions", VersionId=marker["VersionId"])
assert s3.get_object(Bucket=B, Key="versions")["Body"].read() == b"three"
s3.delete_object(Bucket=B, Key="versions", VersionId=ids[2])
assert s3.get_object(Bucket=B, Key="versions")["Body"].read() == b"two"

# Rules of the bucket.
rules = {"Rules": [{"ID": "old", "Status": "Enabled", "Filter": {"Prefix": "tmp/"}, "Expiration": {"Days": 3}}]}
s3.put_bucket_lifecycle_configuration(Bucket=B, LifecycleConfiguration=rules)
assert s3.get_bucket_lifecycle_configuration(Bucket=B)["Rules"][0]["Expiration"] == {"Days": 3}
s3.put_bucket_cors(
    Bucket=B,
    CORSConfiguration={"CORSRules": [{"AllowedMethods": ["GET"], "AllowedOrigins": ["https://a.example"]}]},
)
assert s3.get_bucket_cors(Bucket=B)["CORSRules"][0]["AllowedOrigins"] == ["https://a.example"]
s3.put_object_tagging(Bucket=B, Key="copy", Tagging={"TagSet": [{"Key": "k", "Value": "v"}]})
assert s3.get_object_tagging(Bucket=B, Key="copy")["TagSet"] == [{"Key": "k", "Value": "v"}]
refused("NotImplemented", s3.put_bucket_website, Bucket=B, WebsiteConfiguration={"IndexDocument": {"Suffix": "i"}})

# A secret that is wrong, and a key that nobody knows.
for key, secret, code in (
    (os.environ["AWS_ACCESS_KEY_ID"], "wrong", "SignatureDoesNotMatch"),
    ("SONOBODY", "wrong", "InvalidAccessKeyId"),
):
    other = boto3.client(
        "s3", endpoint_url=os.environ["S3_ENDPOINT"], aws_access_key_id=key, aws_secret_access_key=secret
    )
    refused(code, other.list_buckets)

# Everything goes again, many at once.
refused("BucketNotEmpty", s3.delete_bucket, Bucket=B)
for page in s3.get_paginator("list_object_versions").paginate(Bucket=B):
    gone = [
        {"Key": v["Key"], "VersionId": v["VersionId"]}
        for v in page.get("Versions", []) + page.get("DeleteMarkers", [])
    ]
    answer = s3.delete_objects(Bucket=B, Delete={"Objects": gone})
    assert len(answer["Deleted"]) == len(gone) and "Errors" not in answer, answer
s3.delete_bucket(Bucket=B)
assert s3.list_buckets()["Buckets"] == []
