import os
import tempfile

from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.schedulers.background import BackgroundScheduler


def work(number):
    pass


folder = tempfile.mkdtemp()
url = f"sqlite:///{os.path.join(folder, 'jobs.sqlite')}"
for start in (1, 2):
    scheduler = BackgroundScheduler(timezone="UTC")
    scheduler.add_jobstore(SQLAlchemyJobStore(url=url), "default")
    scheduler.add_job(work, "cron", hour=3, args=[start], id="nightly", replace_existing=True)
    scheduler.start()
    print([(job.id, job.args, job.name, str(job.trigger)) for job in scheduler.get_jobs("default")])
    scheduler.shutdown()
