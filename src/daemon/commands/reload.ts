import * as z from 'zod'
import { defineCommand } from '../command.ts'

export const reloadCommand = defineCommand({
  name: 'reload',
  summary: 'let the daemon read its configuration again: external key stores and their TLS',
  flags: [],
  where: 'either',
  parameters: z.strictObject({}),
  prepare: () => ({}),
  perform: async ({ onReload }) => {
    if (!onReload) throw new Error('no daemon runs here; it reads its configuration when it starts')
    return await onReload()
  },
  print: (it, page) => {
    if (it.made.length > 0) page.line(`stores made: ${it.made.join(', ')}`)
    if (it.changed.length > 0) page.line(`stores changed: ${it.changed.join(', ')}`)
    if (it.made.length + it.changed.length === 0) page.line('The stores are as they were.')
    if (it.afterRestart.length > 0)
      page.line(`These hold after a restart only: ${it.afterRestart.join(', ')}`)
  },
})
