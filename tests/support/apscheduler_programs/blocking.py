from apscheduler.schedulers.blocking import BlockingScheduler

scheduler = BlockingScheduler()


@scheduler.scheduled_job("interval", seconds=0.05, id="once")
def tick():
    print("tick")
    scheduler.remove_job("once")
    scheduler.shutdown(wait=False)


scheduler.start()
print("ended")
