/** The CDK app: `cdk synth` and `cdk deploy` run this file; the local runtime calls `createApp` in its own process. */
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
// The submodule: the package's index loads every service.
import { Annotations, App } from 'aws-cdk-lib/core'
import { configWarnings, type FleetDocument, parseConfig } from '../functions/config.ts'
import { bundleFunctions } from './bundle.ts'
import { farRegions } from './events.ts'
import { EventsStack, UnderstudyStack } from './stack.ts'

const root = fileURLToPath(new URL('..', import.meta.url))

/** Here and not in cdk.json, whose context only the CLI reads: a deploy and the local runtime get the same template. */
const featureFlags = {
  // A version is published when the code or the configuration of its function changed, and only then.
  '@aws-cdk/aws-lambda:recognizeVersionProps': true,
  '@aws-cdk/core:enablePartitionLiterals': true,
}

/**
 * The app with its one stack, named after the deployment, and for each other Region with nodes one that forwards events.
 * `app.synth().directory` holds the template `<deployment>.template.json`. Needs no credentials and looks nothing up.
 */
export async function createApp(
  config: FleetDocument,
  { outdir, bundleDirectory }: { outdir?: string; bundleDirectory: string },
): Promise<App> {
  const app = new App({
    ...(outdir === undefined ? {} : { outdir }),
    context: featureFlags,
    // Where a construct was made says nothing to the reader of the template, and costs time.
    treeMetadata: false,
    analyticsReporting: false,
  })
  const stack = new UnderstudyStack(app, config, bundleDirectory)
  for (const warning of configWarnings(config))
    Annotations.of(stack).addWarningV2(`understudy:${warning.split(':')[0]}`, warning)
  const regions = farRegions(config)
  const others = regions.map((region) => new EventsStack(app, config, region).stackName)
  // The CLI deploys one stack when there is one, and asks which when there are several.
  if (others.length > 0)
    Annotations.of(stack).addInfo(
      `nodes in ${regions.join(', ')}: events of AWS are forwarded from there by ${others.join(', ')}. Deploy with \`cdk deploy --all\`; each Region needs \`cdk bootstrap\` once. Without them what happens there is seen by probes and ticks alone, somewhat later.`,
    )
  return app
}

if (import.meta.main) {
  const config = parseConfig((await import('../understudy.config.ts')).default)
  const bundleDirectory = await bundleFunctions({ config, outdir: join(root, 'cdk.out', 'functions') })
  const app = await createApp(config, { bundleDirectory })
  app.synth()
}
