# Sourced by workflows/deploy.yml: exchanges the identity token of the workflow run for credentials of the role ROLE_ARN,
# for this shell only. Once per job, because the token lasts minutes and the credentials an hour.
: "${ROLE_ARN:?expected the variable AWS_ROLE_ARN in the environment of the workflow, found none}"
: "${AWS_REGION:?expected the variable AWS_REGION in the environment of the workflow, found none}"
export AWS_DEFAULT_REGION=$AWS_REGION
token=$(curl --silent --show-error --fail --retry 3 --header "Authorization: bearer $ACTIONS_ID_TOKEN_REQUEST_TOKEN" \
  "$ACTIONS_ID_TOKEN_REQUEST_URL&audience=sts.amazonaws.com" | jq --exit-status --raw-output .value)
echo "::add-mask::$token"
if ! credentials=$(aws sts assume-role-with-web-identity --role-arn "$ROLE_ARN" \
  --role-session-name "rollcall-deploy-$GITHUB_RUN_ID" --web-identity-token "$token" --output text \
  --query 'Credentials.[AccessKeyId, SecretAccessKey, SessionToken]'); then
  # The subject is no secret. It is in the token's second part, as base64url without padding.
  subject=$(jq --null-input --raw-output --arg token "$token" '$token | split(".")[1] | gsub("-"; "+") | gsub("_"; "/")
    | . + "=="[:(4 - length % 4) % 4] | @base64d | fromjson | .sub' || true)
  echo "::error::assume $ROLE_ARN: expected a role that trusts the subject \`$subject\`, found a refusal"
  echo "The token's subject is    $subject"
  echo "The role must trust it. Update the stack that has the role, of infra/github.yaml, with the parameter"
  echo "    SubjectPrefix=${subject%%:environment:*}"
  echo "If it has that already, compare the environment in the subject with the role in the variable AWS_ROLE_ARN:"
  echo "PlanRoleArn is for an environment that ends in -plan, DeployRoleArn for the other."
  exit 1
fi
read -r AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN <<< "$credentials"
echo "::add-mask::$AWS_SECRET_ACCESS_KEY"
echo "::add-mask::$AWS_SESSION_TOKEN"
export AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN
unset token credentials
