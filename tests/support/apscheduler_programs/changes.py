from apscheduler.schedulers.background import BackgroundScheduler


def work():
    pass


scheduler = BackgroundScheduler(timezone="UTC")
job = scheduler.add_job(work, "interval", minutes=2, id="my_job_id", max_instances=2)
scheduler.start(paused=True)
job.modify(max_instances=6, name="Alternate name")
scheduler.modify_job("my_job_id", coalesce=False)
scheduler.reschedule_job("my_job_id", trigger="cron", minute="*/5")
job = scheduler.get_job("my_job_id")
print(job.id, job.name, job.max_instances, job.coalesce, job.trigger, job.next_run_time.minute % 5)
job.reschedule("cron", hour=4)
print(job.trigger, job.next_run_time.hour, {field.name: str(field) for field in job.trigger.fields})
scheduler.shutdown()
