/** One role per function: what Lambda needs to run it, and the statements of `permissions.ts`. */
import * as iam from 'aws-cdk-lib/aws-iam'
import { Aws } from 'aws-cdk-lib/core'
import type { Construct } from 'constructs'
import type { FleetDocument } from '../functions/config.ts'
import type { FunctionName } from '../functions/core/limits.ts'
import { functionArn } from './names.ts'
import { type Grants, grantsOf } from './permissions.ts'

/** What Lambda itself needs to run the function. */
function runtimeStatements(
  config: FleetDocument,
  functionName: string,
  inVpc: boolean,
): iam.PolicyStatementProps[] {
  const network = [
    'ec2:CreateNetworkInterface',
    'ec2:DescribeNetworkInterfaces',
    'ec2:DescribeSubnets',
    'ec2:DeleteNetworkInterface',
    'ec2:AssignPrivateIpAddresses',
    'ec2:UnassignPrivateIpAddresses',
  ]
  return [
    {
      sid: 'WriteLogs',
      actions: ['logs:CreateLogStream', 'logs:PutLogEvents'],
      resources: [
        `arn:${Aws.PARTITION}:logs:${config.region}:${Aws.ACCOUNT_ID}:log-group:/aws/lambda/${functionName}:*`,
      ],
    },
    // Has no resource to restrict it to (service authorization reference, X-Ray).
    { sid: 'Trace', actions: ['xray:PutTraceSegments', 'xray:PutTelemetryRecords'], resources: ['*'] },
    ...(inVpc
      ? [
          { sid: 'AttachToVpc', actions: network, resources: ['*'] },
          // For the service, not for the code (Lambda developer guide, "Giving Lambda functions access to a VPC").
          {
            sid: 'NotFromTheCode',
            effect: iam.Effect.DENY,
            actions: network,
            resources: ['*'],
            conditions: { ArnEquals: { 'lambda:SourceFunctionArn': [functionArn(config, functionName)] } },
          },
        ]
      : []),
  ]
}

/** The role of one function, with all its statements inline: it exists complete or not at all. */
export function addRole(
  scope: Construct,
  id: string,
  name: FunctionName,
  grants: Grants & { readonly functionName: string; readonly inVpc: boolean },
): iam.Role {
  const statements = [
    ...runtimeStatements(grants.config, grants.functionName, grants.inVpc),
    ...grantsOf[name].flatMap((grant) => grant(grants)),
  ]
  return new iam.Role(scope, id, {
    description: `Role of ${grants.functionName}`,
    assumedBy: new iam.ServicePrincipal('lambda.amazonaws.com'),
    inlinePolicies: {
      understudy: new iam.PolicyDocument({
        statements: statements.map((statement) => new iam.PolicyStatement(statement)),
      }),
    },
  })
}
