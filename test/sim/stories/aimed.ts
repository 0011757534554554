/** The stories that are aimed at a hazard or a rule, each by its own file. */
import { story as alone } from './alone.ts'
import { story as bounded } from './bounded.ts'
import { story as fences } from './fences.ts'
import type { Story } from './index.ts'
import { story as life } from './life.ts'
import { story as lists } from './lists.ts'
import { story as names } from './names.ts'
import { story as newer } from './newer.ts'
import { story as oldPrimary } from './oldPrimary.ts'
import { story as openClaims } from './openClaims.ts'
import { story as people } from './people.ts'
import { story as quorum } from './quorum.ts'
import { story as restarts } from './restarts.ts'
import { story as resumes } from './resumes.ts'
import { story as survivors } from './survivors.ts'
import { story as switchovers } from './switchovers.ts'
import { story as takeovers } from './takeovers.ts'
import { story as targets } from './targets.ts'
import { story as twoDeployments } from './twoDeployments.ts'
import { story as zombies } from './zombies.ts'

export const aimed: readonly Story[] = [
  alone,
  bounded,
  fences,
  life,
  lists,
  names,
  newer,
  oldPrimary,
  openClaims,
  people,
  quorum,
  restarts,
  resumes,
  survivors,
  switchovers,
  takeovers,
  targets,
  twoDeployments,
  zombies,
]
