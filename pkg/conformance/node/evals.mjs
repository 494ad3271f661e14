// Evaluations with the official Node SDK, since the Go SDK has none, through two replicas in turn. In the middle it asks for one
// of them to be restarted, and is told where both are then. What it made it tells line by line, a path each, before it asks
// whether it may delete that.
import assert from 'node:assert/strict'
import { createInterface } from 'node:readline'
import OpenAI, { toFile } from 'openai'

// ask says a word to whoever runs this, and waits for a line.
const input = createInterface({ input: process.stdin })[Symbol.asyncIterator]()
const ask = async (word) => {
  console.log(word)
  return (await input.next()).value
}

let urls = process.env.REPLICAS.split(' ')
let turn = 0
const next = (apiKey) => new OpenAI({ apiKey, baseURL: urls[turn++ % 2] })
const mine = () => next(process.env.OPENAI_API_KEY)
const theirs = () => next(process.env.OTHER_API_KEY)

const criteria = [{ type: 'string_check', name: 'matches', input: '{{item.answer}}', operation: 'eq', reference: '{{item.expected}}' }]
const item_schema = { type: 'object', properties: { answer: { type: 'string' }, expected: { type: 'string' } } }
const rows = [{ item: { answer: '4', expected: '4', thread_id: 'the item is the caller\'s own' } }, { item: { answer: '5', expected: '5' } }]

const all = async (pages) => {
  const ids = []
  for await (const one of pages) ids.push(one.id)
  return ids
}

// create makes an evaluation, where the file lies that was uploaded last.
async function create() {
  const file = await mine().files.create({ purpose: 'evals', file: await toFile(Buffer.from(rows.map((r) => JSON.stringify(r)).join('\n')), 'rows.jsonl') })
  const made = await mine().evals.create({ name: 'sums', data_source_config: { type: 'custom', item_schema }, testing_criteria: criteria })
  assert.equal((await mine().evals.update(made.id, { name: 'sums again' })).id, made.id)
  assert.equal((await mine().evals.retrieve(made.id)).data_source_config.type, 'custom')
  return { id: made.id, file: file.id }
}

// run goes through the rows, given or in the file, and looks at what became of each.
async function run(of, source) {
  const made = await mine().evals.runs.create(of.id, { name: 'first', data_source: { type: 'jsonl', source } })
  assert.equal(made.status, 'queued')
  const done = await mine().evals.runs.retrieve(made.id, { eval_id: of.id })
  assert.deepEqual([done.status, done.result_counts.passed], ['completed', 2])
  const items = await all(mine().evals.runs.outputItems.list(made.id, { eval_id: of.id, limit: 1 }))
  assert.equal(items.length, 2)
  const item = await mine().evals.runs.outputItems.retrieve(items[1], { eval_id: of.id, run_id: made.id })
  assert.deepEqual([item.status, item.datasource_item.answer], ['pass', '5'])
  assert.deepEqual(await all(mine().evals.runs.outputItems.list(made.id, { eval_id: of.id, status: 'fail' })), [])
  return made.id
}

async function cancel(of) {
  const made = await mine().evals.runs.create(of.id, { data_source: { type: 'jsonl', source: { type: 'file_content', content: rows } } })
  assert.equal((await mine().evals.runs.cancel(made.id, { eval_id: of.id })).status, 'canceled')
  assert.ok((await all(mine().evals.runs.list(of.id, { limit: 1 }))).includes(made.id))
  assert.ok((await mine().evals.runs.delete(made.id, { eval_id: of.id })).deleted)
  await assert.rejects(mine().evals.runs.retrieve(made.id, { eval_id: of.id }), OpenAI.NotFoundError)
}

// unseen tries what the other client could do: each answers as if there were nothing.
async function unseen(of, runID) {
  const source = { type: 'file_content', content: rows }
  const reaches = [
    (c, id) => c.evals.retrieve(id),
    (c, id) => c.evals.update(id, { name: 'mine' }),
    (c, id) => c.evals.delete(id),
    (c, id) => c.evals.runs.list(id),
    (c, id) => c.evals.runs.create(id, { data_source: { type: 'jsonl', source } }),
    (c, id) => c.evals.runs.retrieve(runID, { eval_id: id }),
    (c, id) => c.evals.runs.cancel(runID, { eval_id: id }),
    (c, id) => c.evals.runs.delete(runID, { eval_id: id }),
    (c, id) => c.evals.runs.outputItems.list(runID, { eval_id: id }),
    (c, id) => c.evals.runs.outputItems.retrieve('outputitem_1', { eval_id: id, run_id: runID }),
  ]
  for (const reach of reaches) {
    const said = []
    for (const id of [of.id, of.id + 'q']) {
      const error = await reach(theirs(), id).then(() => assert.fail(`${reach}`), (e) => e)
      assert.ok(error instanceof OpenAI.NotFoundError, `${reach}: ${error}`)
      said.push(JSON.stringify(error.error))
    }
    assert.equal(said[0], said[1])
  }
  const own = await theirs().evals.create({ data_source_config: { type: 'custom', item_schema }, testing_criteria: criteria })
  await assert.rejects(theirs().evals.runs.create(own.id, { data_source: { type: 'jsonl', source: { type: 'file_id', id: of.file } } }), OpenAI.NotFoundError)
  assert.deepEqual(await all(theirs().evals.list()), [own.id])
  assert.ok((await theirs().evals.delete(own.id)).deleted)
}

// refused are those that choose among all that an account stores. The answer says what to do instead.
async function refused(of) {
  for (const type of ['stored_completions', 'responses']) {
    const data_source = { type: type === 'responses' ? type : 'completions', source: { type } }
    const error = await mine().evals.runs.create(of.id, { data_source }).catch((e) => e)
    assert.deepEqual([error.status, error.code], [400, 'not_supported_yet'])
    assert.match(error.message, /file_content/)
  }
}

const evals = []
for (let round = 0; round < 3; round++) evals.push(await create())
urls = (await ask('restart')).split(' ')
for (let round = 0; round < 3; round++) evals.push(await create())
for (const one of evals) {
  const runID = await run(one, { type: 'file_content', content: rows })
  await run(one, { type: 'file_id', id: one.file })
  await cancel(one)
  await refused(one)
  await unseen(one, runID)
  console.log(`/v1/evals/${one.id}`)
}
assert.deepEqual(await all(mine().evals.list({ limit: 2, order: 'desc' })), evals.map((e) => e.id).reverse())
await ask('done')
for (const one of evals) {
  assert.equal((await mine().evals.delete(one.id)).deleted, true)
  await assert.rejects(mine().evals.retrieve(one.id), OpenAI.NotFoundError)
}
process.exit(0) // the input is still open
