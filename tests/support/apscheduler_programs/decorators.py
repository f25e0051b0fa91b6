from apscheduler.schedulers.background import BackgroundScheduler

scheduler = BackgroundScheduler(timezone="UTC")


@scheduler.scheduled_job("cron", id="cron", day_of_week="mon-fri", hour=5, minute="*/10")
def weekday():
    pass


@scheduler.scheduled_job("interval", id="interval", hours=2, start_date="2010-10-10 09:30:00", end_date="2114-06-15")
def every_two_hours():
    pass


@scheduler.scheduled_job("date", id="date", run_date="2109-11-06 16:30:05")
def once():
    pass


scheduler.start(paused=True)
for job in sorted(scheduler.get_jobs(), key=lambda job: job.id):
    print(job.id, job.name, job.trigger, job.next_run_time.minute % 10)
scheduler.shutdown()
