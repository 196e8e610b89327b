"""The stand-in for KMS against botocore's client: what it takes and refuses is what AWS takes and refuses."""
import hashlib

import botocore.config
import botocore.exceptions
import botocore.session
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

from harness.kms import Fault, KmsStandIn


@pytest.fixture
def kms():
    made = KmsStandIn()
    yield made
    made.close()


def client(kms: KmsStandIn, secret: str | None = None):
    key_id, (right, _) = next(iter(kms.secrets.items()))
    return botocore.session.Session().create_client(
        "kms", region_name=kms.region, endpoint_url=kms.url, aws_access_key_id=key_id, aws_secret_access_key=secret or right,
        config=botocore.config.Config(retries={"total_max_attempts": 1}))


def test_a_key_is_made_named_and_signs(kms):
    aws = client(kms)
    made = aws.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY", Tags=[{"TagKey": "a", "TagValue": "b"}])
    aws.create_alias(AliasName="alias/x/y", TargetKeyId=made["KeyMetadata"]["KeyId"])
    assert aws.describe_key(KeyId="alias/x/y")["KeyMetadata"]["KeyId"] == made["KeyMetadata"]["KeyId"]
    digest = hashlib.sha256(b"hello").digest()
    signature = aws.sign(KeyId="alias/x/y", Message=digest, MessageType="DIGEST", SigningAlgorithm="ECDSA_SHA_256")["Signature"]
    public = serialization.load_der_public_key(aws.get_public_key(KeyId="alias/x/y")["PublicKey"])
    public.verify(signature, digest, ec.ECDSA(utils.Prehashed(hashes.SHA256())))


@pytest.mark.parametrize("what", ["secret", "fault", "alias", "state"])
def test_refusals_are_those_of_aws(kms, what):
    aws = client(kms, secret="wrong" if what == "secret" else None)
    if what == "fault":
        kms.faults["DescribeKey"] = Fault("AccessDeniedException")
    if what == "state":
        kms.do_CreateKey({"KeySpec": "ECC_NIST_P256", "KeyUsage": "SIGN_VERIFY"})
        next(iter(kms.keys.values())).state = "Disabled"
    code = {"secret": "InvalidSignatureException", "fault": "AccessDeniedException", "alias": "NotFoundException",
            "state": "DisabledException"}[what]
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        if what == "state":
            aws.get_public_key(KeyId=next(iter(kms.keys)))
        else:
            aws.describe_key(KeyId="alias/none")
    assert refused.value.response["Error"]["Code"] == code
