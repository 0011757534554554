import { engineContract } from './contract.ts'
import { auroraSubject, modelSubject, mysqlSubject, postgresSubject, rdsSubject } from './contractSubjects.ts'

engineContract(
  'postgres, on servers of our own',
  { elects: true, endsSessions: true, positions: true, sessions: true },
  postgresSubject,
)
engineContract(
  'postgres, the model of the step tests',
  { elects: true, endsSessions: false, positions: true, sessions: false },
  modelSubject,
)
engineContract(
  'postgres, on instances of RDS',
  { elects: false, endsSessions: true, positions: true, sessions: true },
  rdsSubject,
)
engineContract(
  'postgres, asked as a member of Aurora',
  { elects: false, endsSessions: false, positions: false, sessions: true },
  auroraSubject,
)
engineContract(
  'mysql, on a stand-in for instances of RDS',
  { elects: false, endsSessions: false, positions: false, sessions: true },
  mysqlSubject,
)
