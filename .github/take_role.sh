# Sourced by workflows/deploy.yml: exchanges the identity token of the workflow run for credentials of the role ROLE_ARN,
# for this shell only. Once per job, because the token lasts minutes and the credentials an hour.
: "${ROLE_ARN:?expected the variable AWS_ROLE_ARN in the environment of the workflow, found none}"
: "${AWS_REGION:?expected the variable AWS_REGION in the environment of the workflow, found none}"
export AWS_DEFAULT_REGION=$AWS_REGION
token=$(curl --silent --show-error --fail --retry 3 --header "Authorization: bearer $ACTIONS_ID_TOKEN_REQUEST_TOKEN" \
  "$ACTIONS_ID_TOKEN_REQUEST_URL&audience=sts.amazonaws.com" | jq --exit-status --raw-output .value)
echo "::add-mask::$token"
credentials=$(aws sts assume-role-with-web-identity --role-arn "$ROLE_ARN" \
  --role-session-name "rollcall-deploy-$GITHUB_RUN_ID" --web-identity-token "$token" --output text \
  --query 'Credentials.[AccessKeyId, SecretAccessKey, SessionToken]')
read -r AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN <<< "$credentials"
echo "::add-mask::$AWS_SECRET_ACCESS_KEY"
echo "::add-mask::$AWS_SESSION_TOKEN"
export AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN
unset token credentials
