import asyncio

from apscheduler.schedulers.asyncio import AsyncIOScheduler


async def main():
    ticked = asyncio.Event()

    async def tick(word):
        await asyncio.sleep(0)
        print(word)
        ticked.set()

    scheduler = AsyncIOScheduler()
    scheduler.add_job(tick, "date", args=["tick"])
    scheduler.start()
    await asyncio.wait_for(ticked.wait(), 20)
    scheduler.shutdown(wait=False)


asyncio.run(main())
